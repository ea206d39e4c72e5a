"""From transmitted intensities to a film: two simulated X-ray rooms that differ as two hospitals do."""

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

LETTERS = {
    "R": ("11110", "10001", "10001", "11110", "10100", "10010", "10001"),
    "L": ("10000", "10000", "10000", "10000", "10000", "10000", "11111"),
}
LEAD_ATTENUATION = 3.0
VEIL_CM = 5.0
CHEST_QUANTILE = 0.5


@dataclass(frozen=True)
class Scanner:
    """One X-ray room: its beam, detector, habits and tone curve. Lengths in cm, shares in [0, 1].

    `blur_cm` is the standard deviation of focal spot, detector and motion together; `photons_per_cm2` would reach the
    detector without a patient; `scatter` is the scattered share of the signal. The tone curve is a logistic function
    of -ln(intensity) that is `window` wide, with the middle of the chest at grey `level` (0 black, 1 white); both vary
    from film to film by `jitter` (standard deviation, relative for the window).
    """

    name: str
    tube_voltage_kv: float
    blur_cm: float
    photons_per_cm2: float
    scatter: float
    window: float
    level: float
    jitter: float
    field_cm: float
    collimation_cm: tuple[float, float]
    marker: str
    marker_centre_cm: tuple[float, float]
    marker_height_cm: float
    bedside_share: float
    inspiration_shift_cm: float
    heart_magnification: float
    turn_degrees: float

    @property
    def soft_per_cm(self) -> float:
        """Attenuation of soft tissue in 1/cm: falls slowly with the voltage, since scattering prevails."""
        return 0.19 * (self.tube_voltage_kv / 100) ** -0.4

    @property
    def lung_per_cm(self) -> float:
        """Attenuation of aerated lung in 1/cm: a quarter of soft tissue, as its density is."""
        return 0.25 * self.soft_per_cm

    @property
    def bone_per_cm(self) -> float:
        """Attenuation of rib with its marrow in 1/cm: falls quickly with the voltage (photoelectric absorption)."""
        return 0.19 + 0.21 * (self.tube_voltage_kv / 100) ** -2.2


SCANNERS = {
    "public": Scanner(
        name="simulated public", tube_voltage_kv=120, blur_cm=0.06, photons_per_cm2=3e6, scatter=0.08, window=2.4,
        level=0.5, jitter=0.04, field_cm=37.0, collimation_cm=(18.5, 18.5), marker="R",
        marker_centre_cm=(-15.5, -14.5), marker_height_cm=2.2, bedside_share=0.1, inspiration_shift_cm=-0.6,
        heart_magnification=1.06, turn_degrees=2.0,
    ),
    "hospital": Scanner(
        name="simulated hospital", tube_voltage_kv=85, blur_cm=0.25, photons_per_cm2=2e6, scatter=0.33, window=2.6,
        level=0.38, jitter=0.06, field_cm=39.0, collimation_cm=(17.6, 18.4), marker="L",
        marker_centre_cm=(14.5, -15.5), marker_height_cm=3.0, bedside_share=0.7, inspiration_shift_cm=-1.0,
        heart_magnification=1.12, turn_degrees=4.0,
    ),
}  # fmt: skip


def rays(field_cm: float, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Centres of `size` x `size` detector elements: x (1, size) and z (size, 1), float32, in cm."""
    edge = ((np.arange(size) + 0.5) / size - 0.5) * field_cm
    return edge[None, :].astype(np.float32), edge[:, None].astype(np.float32)


def marker_attenuation(scanner: Scanner, x: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Attenuation (-ln) of the lead letter that tells left from right."""
    bitmap = np.array([[int(bit) for bit in row] for row in LETTERS[scanner.marker]], np.float32)
    rows, columns = bitmap.shape
    pixel_cm = scanner.marker_height_cm / rows
    column = np.floor((x - scanner.marker_centre_cm[0]) / pixel_cm + columns / 2).astype(int)
    row = np.floor((z - scanner.marker_centre_cm[1]) / pixel_cm + rows / 2).astype(int)
    inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
    return LEAD_ATTENUATION * inside * bitmap[np.clip(row, 0, rows - 1), np.clip(column, 0, columns - 1)]


def expose(
    scanner: Scanner, attenuation: np.ndarray, size: int, settings: np.random.Generator, noise: np.random.Generator
) -> np.ndarray:
    """One film, uint8 (size, size), bright where the body is dense.

    attenuation is -ln(I / I0) on a grid of a whole multiple of `size` (the rays of one detector element are averaged
    as intensities). Two draws from `settings`, whatever the size; the quantum noise from `noise`, one draw a pixel.
    """
    window = scanner.window * np.exp(scanner.jitter * settings.normal())
    level = np.clip(scanner.level + scanner.jitter * settings.normal(), 0.05, 0.95)
    element_cm = scanner.field_cm / size
    intensity = of_elements(np.exp(-attenuation), size)
    intensity = gaussian_filter(intensity, scanner.blur_cm / element_cm, mode="nearest")
    intensity = (1 - scanner.scatter) * intensity + scanner.scatter * _veil(intensity, scanner.field_cm)
    photons = scanner.photons_per_cm2 * element_cm**2
    # At 50 photons and more, a Poisson variate is close to a normal one of the same mean and variance.
    intensity += np.sqrt(intensity / photons) * noise.standard_normal(intensity.shape, dtype=np.float32)
    signal = -np.log(np.maximum(intensity, 1e-4))
    inner = signal[size // 6 : -(size // 6), size // 6 : -(size // 6)]
    grey = 1 / (1 + np.exp(-4 * (signal - np.quantile(inner, CHEST_QUANTILE)) / window - np.log(level / (1 - level))))
    x, z = rays(scanner.field_cm, size)
    half_width, half_height = scanner.collimation_cm
    grey = np.where((np.abs(x) < half_width) & (np.abs(z) < half_height), grey, 0.02)
    return np.rint(255 * grey).astype(np.uint8)


def of_elements(values: np.ndarray, size: int) -> np.ndarray:
    """Means of the rays of each of `size` x `size` detector elements."""
    factor = values.shape[0] // size
    return values.reshape(size, factor, size, factor).mean(axis=(1, 3))


def _veil(intensity: np.ndarray, field_cm: float) -> np.ndarray:
    """Scattered radiation: the intensity spread over several centimetres, worked out on a coarse grid."""
    coarse = Image.fromarray(intensity).resize((32, 32), Image.Resampling.BOX)
    spread = gaussian_filter(np.asarray(coarse), VEIL_CM * 32 / field_cm, mode="nearest")
    return np.asarray(Image.fromarray(spread).resize(intensity.shape[::-1], Image.Resampling.BICUBIC))
