"""Stand-ins for network cameras: Motion-JPEG over HTTP, MPEG-TS over TCP, H.264 over RTSP."""

from __future__ import annotations

import io
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
from PIL import Image

from tests.sdk.stream.numbered import SIZE_WH, picture

_BOUNDARY = b"frame"
_TS_PIECE = 188 * 7
_PATIENCE_S = 20.0


class JpegCamera:
    """Serves one client Motion-JPEG, a picture for every call of `show`."""

    def __init__(self) -> None:
        self._door = socket.create_server(("127.0.0.1", 0))
        self._door.settimeout(_PATIENCE_S)
        self._client: socket.socket | None = None
        self._connected = threading.Event()
        self._thread = threading.Thread(target=self._answer)
        self._thread.start()
        self.address = f"http://127.0.0.1:{self._door.getsockname()[1]}/video"

    def show(self, number: int) -> None:
        """Send one frame."""
        assert self._connected.wait(_PATIENCE_S)
        assert self._client is not None
        encoded = io.BytesIO()
        Image.fromarray(picture(number)).save(encoded, "JPEG", quality=90)
        data = encoded.getvalue()
        head = b"--%s\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % (_BOUNDARY, len(data))
        self._client.sendall(head + data + b"\r\n")

    def close(self) -> None:
        """Hang up."""
        self._door.close()
        self._thread.join()
        if self._client is not None:
            self._client.close()

    def _answer(self) -> None:
        client, _ = self._door.accept()
        while not client.recv(4096).endswith(b"\r\n\r\n"):
            pass
        client.sendall(
            b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=%s\r\n\r\n" % _BOUNDARY
        )
        self._client = client
        self._connected.set()


_TS_SERVER = f"""
import socket, sys, time
data = open(sys.argv[1], "rb").read()
door = socket.create_server(("127.0.0.1", 0))
print(door.getsockname()[1], flush=True)
client, _ = door.accept()
for start in range(0, len(data), {_TS_PIECE}):
    client.sendall(data[start : start + {_TS_PIECE}])
    time.sleep(0.02)
time.sleep(60)
"""


@contextmanager
def ts_camera(recording: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A process that sends a recording slowly and then nothing: its address, and the process to be killed."""
    command = [sys.executable, "-I", "-S", "-c", _TS_SERVER, str(recording)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"tcp://127.0.0.1:{process.stdout.readline().strip()}", process
        finally:
            process.kill()


class RtspCamera:
    """Serves one client H.264 in RTP inside the RTSP connection (RFC 2326 10.12, RFC 6184 5.6)."""

    def __init__(self, frames: int) -> None:
        self._frames = frames
        self._door = socket.create_server(("127.0.0.1", 0))
        self._door.settimeout(_PATIENCE_S)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        self.requests: list[str] = []
        self.address = f"rtsp://127.0.0.1:{self._door.getsockname()[1]}/cam"

    def close(self) -> None:
        """Hang up."""
        self._door.close()
        self._thread.join()

    def _serve(self) -> None:
        client, _ = self._door.accept()
        with client, client.makefile("rb") as requests:
            while True:
                lines = list(iter(lambda: requests.readline().decode().strip(), ""))
                if not lines:
                    return
                method = lines[0].split()[0]
                sequence = next(line for line in lines if line.lower().startswith("cseq"))
                self.requests.append(method)
                client.sendall(self._reply(method, sequence))
                if method == "PLAY":
                    for packet in _rtp_packets(self._frames):
                        client.sendall(packet)
                    client.shutdown(socket.SHUT_WR)
                    return

    def _reply(self, method: str, sequence: str) -> bytes:
        sdp = (
            "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=cam\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
            "a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\na=control:track0\r\n"
        )
        extra = {
            "OPTIONS": "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n\r\n",
            "DESCRIBE": f"Content-Type: application/sdp\r\nContent-Length: {len(sdp)}\r\n\r\n{sdp}",
            "SETUP": "Session: 1\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n",
            "PLAY": "Session: 1\r\n\r\n",
        }
        return f"RTSP/1.0 200 OK\r\n{sequence}\r\n{extra[method]}".encode()


def _rtp_packets(frames: int) -> Iterator[bytes]:
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height = SIZE_WH
    context.pix_fmt, context.framerate = "yuv420p", 25
    context.options = {"preset": "ultrafast", "tune": "zerolatency"}
    sent = 0
    for number in range(frames):
        frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
        data = b"".join(bytes(packet) for packet in context.encode(frame))
        units = [unit.rstrip(b"\0") for unit in data.split(b"\0\0\1")[1:]]
        for place, unit in enumerate(units):
            marker = 0x80 if place == len(units) - 1 else 0
            head = struct.pack(">BBHII", 0x80, marker | 96, sent & 0xFFFF, number * 3600, 1)
            sent += 1
            yield struct.pack(">cBH", b"$", 0, len(head + unit)) + head + unit
