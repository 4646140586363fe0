"""An S3 object as a seekable file."""

import io
from typing import Any

from curation.storage.s3 import S3Client


class S3File(io.RawIOBase):
    """A raw file over an object; each read is one ranged request, with retries."""

    def __init__(self, client: S3Client, path: str) -> None:
        self._client = client
        self._path = path
        self._size, self._etag = client.head(path)
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, origin: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[origin]
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        end = min(self._position + len(buffer), self._size)
        if end <= self._position:
            return 0
        data = self._client.get(self._path, self._position, end, etag=self._etag)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
