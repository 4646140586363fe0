"""A cache of counted recordings, so that a file with many clips is counted once."""

import threading
from collections import OrderedDict
from concurrent.futures import Future

from curation.audio.counted import CountedSound
from curation.audio.formats import count_sound

_MAX_FILES = 16  # an hour of MP3 takes 1.6 MB, a waveform that is kept 2.3 MB at 48 kHz


class CountedFiles:
    """A cache of counted recordings by the hash of the file.

    If several threads request the same file, only one of them counts it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sounds: OrderedDict[str, Future[CountedSound]] = OrderedDict()

    def count(self, data: bytes, name: str, sha256: str | None) -> CountedSound:
        """Count a file as `count_sound` does, or return the cached result.

        The result for a file without a hash is not cached.
        """
        if sha256 is None:
            return count_sound(data, name)
        with self._lock:
            future = self._sounds.get(sha256)
            mine = future is None
            if future is None:
                future = self._sounds[sha256] = Future()
                if len(self._sounds) > _MAX_FILES:
                    self._sounds.popitem(last=False)
            self._sounds.move_to_end(sha256)
        if not mine:
            return future.result()
        try:
            sound = count_sound(data, name)
        except BaseException as error:
            with self._lock:
                self._sounds.pop(sha256, None)
            future.set_exception(error)
            raise
        future.set_result(sound)
        return sound


counted_files = CountedFiles()
