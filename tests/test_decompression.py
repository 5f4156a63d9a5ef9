"""Decompression of responses: what is decoded, and how much at most."""

import gzip
import tracemalloc
import zlib
from functools import partial

import pytest
import urllib3

from backupkit.client.decompression import decompress

TEXT = b'["20260103-085630-24322831"]' * 9
GZIP = partial(gzip.compress, mtime=0)
RAW = zlib.compressobj(wbits=-zlib.MAX_WBITS)
RAW_TEXT = RAW.compress(TEXT) + RAW.flush()
MIB = 2**20


class TestDecompress:
    """decompress."""

    @pytest.mark.parametrize(
        ("body", "encoding"),
        [
            (TEXT, ""),
            (TEXT, "identity"),
            (TEXT, "br"),  # was not accepted
            (GZIP(TEXT), "gzip"),
            (GZIP(TEXT), " X-GZIP "),
            (GZIP(TEXT[:9]) + GZIP(TEXT[9:]), "gzip"),
            (GZIP(TEXT) + b"\0" * 9, "gzip"),
            (zlib.compress(TEXT), "deflate"),
            (RAW_TEXT, "deflate"),
        ],
    )
    def test_decoded(self, body: bytes, encoding: str) -> None:
        """Each encoding is decoded, up to the limit."""
        assert decompress(body, encoding, limit=MIB) == TEXT
        assert decompress(body, encoding, limit=len(TEXT)) == TEXT
        assert decompress(body, encoding, limit=5) == TEXT[:5]

    @pytest.mark.parametrize("encoding", ["gzip", "deflate"])
    def test_empty(self, encoding: str) -> None:
        """A response without a body has none, whatever its header says."""
        assert decompress(b"", encoding, limit=MIB) == b""

    def test_cut(self) -> None:
        """Of a body that is cut off the beginning is returned: the JSON in it is not complete."""
        assert TEXT.startswith(decompress(GZIP(TEXT)[:-9], "gzip", limit=MIB))

    @pytest.mark.parametrize(
        ("body", "encoding"),
        [
            (TEXT, "gzip"),
            (zlib.compress(TEXT), "gzip"),
            (b"\x78\x9c" + TEXT, "deflate"),
            (b"\xff" + TEXT, "deflate"),
        ],
    )
    def test_damaged(self, body: bytes, encoding: str) -> None:
        """A body that is not compressed as it says is an error of the exchange."""
        with pytest.raises(urllib3.exceptions.DecodeError, match=f"the body is not {encoding}"):
            decompress(body, encoding, limit=MIB)

    @pytest.mark.parametrize("encoding", ["gzip", "deflate"])
    def test_bomb(self, encoding: str) -> None:
        """Of a small body that would be very large no more than the limit is in memory."""
        pack = GZIP if encoding == "gzip" else zlib.compress
        bomb = pack(bytes(32 * MIB))
        assert len(bomb) < MIB
        tracemalloc.start()
        decoded = decompress(bomb, encoding, limit=MIB)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(decoded) == MIB
        assert peak < 4 * MIB
