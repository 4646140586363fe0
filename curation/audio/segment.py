"""The requested segment of a recording, and the limits of decoding."""

from dataclasses import dataclass

from curation.audio.counted import CountedSound
from curation.audio.errors import AudioError

MIN_DURATION_S = 0.1
# Few bytes may hold hours of silence or a million channels and hertz: what goes beyond these is
# refused before it is decoded.
MAX_RECORDING_S = 24 * 3600.0
MAX_DECODED_SAMPLES = 2**27  # of all channels, as float32: 512 MiB


@dataclass(frozen=True)
class SegmentRequest:
    """A requested segment from `start_s` to `end_s` on the container's clock.

    None means the beginning or the end of the recording. If the segment is longer than
    `max_duration_s`, only its centre of that length is used.
    """

    start_s: float | None
    end_s: float | None
    max_duration_s: float

    def resolve(self, sound: CountedSound, name: str) -> tuple[int, int]:
        """Return the first frame of the segment, and the frame after the last one.

        Raises AudioError (`too_short`, `too_long` or `too_large`).
        """
        rate = sound.sample_rate_hz
        duration_s = sound.frames / rate
        if duration_s > MAX_RECORDING_S:
            raise AudioError(
                "too_long",
                f"{name} lasts {duration_s:.0f} s; at most {MAX_RECORDING_S:.0f} s are taken, so "
                "cut it into shorter files",
            )
        start_s, end_s = self._clip_to(sound.begin_s, sound.begin_s + duration_s, name)
        surplus_s = max(0.0, end_s - start_s - self.max_duration_s)
        first = round((start_s + surplus_s / 2 - sound.begin_s) * rate)
        last = min(sound.frames, round((end_s - surplus_s / 2 - sound.begin_s) * rate))
        _check_samples((last - first) * sound.channels, name)
        return first, last

    def _clip_to(self, begin_s: float, finish_s: float, name: str) -> tuple[float, float]:
        """The part of the segment that lies within the sound."""
        start_s = begin_s if self.start_s is None else max(self.start_s, begin_s)
        end_s = finish_s if self.end_s is None else min(self.end_s, finish_s)
        if end_s - start_s < MIN_DURATION_S - 1e-6:
            begins = f" and begins at {begin_s:.2f} s" if begin_s else ""
            end = "its end" if self.end_s is None else f"{self.end_s:.2f} s"
            raise AudioError(
                "too_short",
                f"{name} lasts {finish_s - begin_s:.2f} s{begins}: from {self.start_s or 0.0:.2f} "
                f"s to {end} there are not the {MIN_DURATION_S} s that a clip needs",
            )
        return start_s, end_s


def _check_samples(samples: int, name: str) -> None:
    if samples > MAX_DECODED_SAMPLES:
        raise AudioError(
            "too_large",
            f"{name} would decode to {samples} samples or more over its channels; at most "
            f"{MAX_DECODED_SAMPLES} are taken: lower audio.max_duration_s, or resample it",
        )
