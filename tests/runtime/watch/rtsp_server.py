"""A camera for tests: an RTSP server (gst-rtsp-server) that can be frozen, muted and resized.

A program of its own, run with the system's Python, which has `gi`: a test kills it, stops it with
SIGSTOP, or writes commands to its standard input, a line each:

    freeze      the same picture again and again, with stamps that go on
    mute        no more pictures, the connection stays
    go          ends both
    size W H    pictures of another size, in the same stream
    rate FPS    another rate, in the same stream
    hang_up     ends all sessions

It prints `ready PORT` once, and `done COMMAND` after each. The picture is a ramp with a pattern
and a moving block, under noise as a sensor has it; no numpy, which the system's Python lacks.
"""

import argparse
import operator
import random
import socket
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

ENCODERS = {
    "h264": (
        "x264enc tune=zerolatency speed-preset=ultrafast key-int-max={gop} bitrate=1000 "
        "threads=1 ! rtph264pay name=pay0 pt=96 config-interval=1"
    ),
    "jpeg": "jpegenc quality=85 ! rtpjpegpay name=pay0 pt=26",
}
KINDS = 16
"""Pictures of noise, made once and sent in turn."""


def noise_table(spread):
    """Bytes to values 0 to `spread`."""
    return bytes(value * (spread + 1) // 256 for value in range(256))


class Camera:
    """The pictures, pushed into whatever pipeline is running."""

    def __init__(self, options):
        self.fps, self.spread = options.fps, options.noise
        self.source, self.frozen, self.muted = None, False, False
        self.resized, self.count, self.pts = False, 0, 0
        self.size(options.width, options.height)

    def size(self, width, height):
        self.width, self.height, self.resized = width, height, True
        rng, table = random.Random(0), noise_table(self.spread)
        ramp = b"".join(
            bytes(40 + 120 * x // width + 50 * ((x // 9 ^ y // 7) & 1) for x in range(width))
            for y in range(height)
        )
        self.noisy = [
            bytes(map(operator.add, ramp, rng.randbytes(len(ramp)).translate(table)))
            for _ in range(KINDS)
        ]
        self.chroma = bytes([110]) * (width * height // 4) + bytes([150]) * (width * height // 4)

    def picture(self):
        luma = bytearray(self.noisy[self.count % KINDS])
        side, x = self.height // 4, (4 * self.count) % (self.width - self.height // 4)
        for row in range(self.height // 2, self.height // 2 + side):
            luma[row * self.width + x : row * self.width + x + side] = bytes([230]) * side
        return bytes(luma) + self.chroma

    def configure(self, _factory, media):
        self.source = media.get_element().get_child_by_name("camera")
        self.resized, self.pts = True, 0
        media.connect("unprepared", self.forget)

    def forget(self, _media):
        self.source = None

    def push(self):
        source = self.source  # another thread may forget it meanwhile
        if source is not None and not self.muted:
            if self.resized:
                caps = f"video/x-raw,format=I420,width={self.width},height={self.height}"
                source.set_caps(Gst.Caps.from_string(f"{caps},framerate={self.fps}/1"))
                self.resized = False
            self.count += not self.frozen
            buffer = Gst.Buffer.new_wrapped(self.picture())
            buffer.duration = Gst.SECOND // self.fps
            buffer.pts = buffer.dts = self.pts
            self.pts += buffer.duration
            source.emit("push-buffer", buffer)
        GLib.timeout_add(1000 // self.fps, self.push)
        return False


def obey(server, camera, words):
    """Carry out one command, in the thread of the pipeline."""
    name = words[0]
    if name == "freeze":
        camera.frozen = True
    elif name == "mute":
        camera.muted = True
    elif name == "go":
        camera.frozen = camera.muted = False
    elif name == "size":
        camera.size(int(words[1]), int(words[2]))
    elif name == "rate":
        camera.fps, camera.resized = int(words[1]), True
    elif name == "hang_up":
        server.client_filter(lambda _server, _client: GstRtspServer.RTSPFilterResult.REMOVE)
    print("done", name, flush=True)
    return False


def listen(server, camera, loop):
    for line in sys.stdin:
        if line.strip():
            GLib.idle_add(obey, server, camera, line.split())
    loop.quit()  # whoever started it is gone


def lock(server, factory, user, password):
    """Ask for a password."""
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, "user")
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    server.set_auth(auth)
    factory.add_role_from_structure(
        Gst.Structure.from_string("user, media.factory.access=true, media.factory.construct=true")[
            0
        ]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--width", type=int, default=160)
    parser.add_argument("--height", type=int, default=120)
    parser.add_argument("--fps", type=int, default=20)
    parser.add_argument("--gop", type=int, default=20)
    parser.add_argument("--noise", type=int, default=12, help="peak to peak, in levels")
    parser.add_argument("--codec", choices=ENCODERS, default="h264")
    parser.add_argument("--user", default="")
    parser.add_argument("--password", default="")
    options = parser.parse_args()
    Gst.init(None)
    port = options.port
    if not port:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
    server, camera = GstRtspServer.RTSPServer(), Camera(options)
    server.set_address("127.0.0.1")
    server.set_service(str(port))
    factory = GstRtspServer.RTSPMediaFactory()
    coder = ENCODERS[options.codec].format(gop=options.gop)
    factory.set_launch(
        f"( appsrc name=camera is-live=true format=time block=false ! videoconvert ! {coder} )"
    )
    factory.set_shared(True)
    factory.connect("media-configure", camera.configure)
    if options.user:
        lock(server, factory, options.user, options.password)
    server.get_mount_points().add_factory("/live", factory)
    if not server.attach(None):
        sys.exit(f"port {port} cannot be had")
    loop = GLib.MainLoop()
    GLib.timeout_add(1000 // camera.fps, camera.push)
    threading.Thread(target=listen, args=(server, camera, loop), daemon=True).start()
    print("ready", port, flush=True)
    loop.run()


if __name__ == "__main__":
    main()
