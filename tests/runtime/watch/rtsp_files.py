"""Cameras that are videos: `/usr/bin/python3 rtsp_files.py FILE…` serves each at /0, /1 … once.

Run with the system's Python, which has `gi`. Whoever connects gets the video from its beginning at
its own speed, as a camera would send it; with --as-is first an H.264 mp4 is not encoded again. It
prints `ready PORT`, and ends with its standard input.
"""

import socket
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

CHAIN = (
    '( filesrc location="{}" ! decodebin ! videoconvert ! video/x-raw,format=I420 ! x264enc '
    "tune=zerolatency speed-preset=veryfast bitrate=4000 threads=1 key-int-max=25 ! "
    "rtph264pay name=pay0 pt=96 config-interval=1 )"
)

AS_IS = (
    '( filesrc location="{}" ! qtdemux ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=1 )'
)


def main():
    as_is = sys.argv[1] == "--as-is"
    Gst.init(None)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(port))
    for number, path in enumerate(sys.argv[1 + as_is :]):
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch((AS_IS if as_is else CHAIN).format(path))
        server.get_mount_points().add_factory(f"/{number}", factory)
    if not server.attach(None):
        sys.exit(f"port {port} cannot be had")
    loop = GLib.MainLoop()
    threading.Thread(target=lambda: (sys.stdin.read(), loop.quit()), daemon=True).start()
    print("ready", port, flush=True)
    loop.run()


if __name__ == "__main__":
    main()
