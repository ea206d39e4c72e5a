"""The one search for films: for the audit (copies between roles), for copies by a generator, and for the guard.

All chests look alike, so a likeness is not yet a copy; the fine structure of one film is. Films are proposed in two
ways, and one decides.

- `whole`: a whole film that may be another, mirrored, inverted, cropped a little or brightened; by coarse shades.
- `pictures`: a film somewhere in a picture, at any size, turned, squeezed or cropped; by distinct points.
- `alignment` decides: the correlation of fine detail, where position and shape of the two agree best.
"""
