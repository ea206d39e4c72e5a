"""The hospital's look on public films, without any generator: its grey levels, or its broad lights and shades."""

from collections.abc import Callable, Mapping

import numpy as np

# Half-width of the exchanged square of low frequencies, as a share of the film's width.
SPECTRUM_SHARE = 0.05


def match_grey_levels(films: np.ndarray, hospital: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Each film with the grey-level histogram of a hospital film drawn at random; uint8 (N, S, S) both in and out.

    Every grey level becomes the level of the same rank in the other film, so that the order of levels stays.
    """
    matched = np.empty_like(films)
    for index, film in enumerate(films):
        reference = hospital[random.integers(len(hospital))]
        ranks, wanted = (np.cumsum(np.bincount(pixels.ravel(), minlength=256)) for pixels in (film, reference))
        # Counts are whole numbers, so that a film matched to itself stays as it is.
        levels = np.searchsorted(wanted * film.size, ranks * reference.size)
        matched[index] = levels.astype(np.uint8)[film]
    return matched


def match_amplitudes(films: np.ndarray, hospital: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Each film with the low-frequency amplitudes of a hospital film drawn at random, its own phases kept.

    uint8 (N, S, S) both in and out. This is the Fourier domain adaptation of Yang and Soatto (CVPR 2020).
    """
    matched = np.empty_like(films)
    reach = max(1, round(SPECTRUM_SHARE * films.shape[1]))
    rows = np.abs(np.fft.fftfreq(films.shape[1], 1 / films.shape[1])) <= reach
    low = np.ix_(rows, np.arange(films.shape[1] // 2 + 1) <= reach)
    for index, film in enumerate(films):
        spectrum = np.fft.rfft2(film.astype(np.float64))
        other = np.fft.rfft2(hospital[random.integers(len(hospital))].astype(np.float64))
        spectrum[low] = np.abs(other[low]) * np.exp(1j * np.angle(spectrum[low]))
        matched[index] = np.fft.irfft2(spectrum, film.shape).round().clip(0, 255).astype(np.uint8)
    return matched


LOOKS: Mapping[str, Callable[..., np.ndarray]] = {
    "grey levels": match_grey_levels,
    "amplitudes": match_amplitudes,
}
