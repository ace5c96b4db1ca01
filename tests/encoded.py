"""Videos made with PyAV: any container, codec and stamps, and damage where it is wanted.

The number of a frame is drawn into it as 10 blocks, black or white, so that a test can read back
which frame it was given.
"""

import contextlib
from fractions import Fraction

import av
import numpy as np

BITS, BLOCK = 10, 8


def numbered(index, width=160, height=96):
    """(h, w, 3) BGR: the index in binary along the top, a block that moves below."""
    image = np.full((height, width, 3), (60, 90, 120), np.uint8)
    for bit in range(BITS):
        value = 235 if index >> bit & 1 else 20
        image[: BLOCK * 2, bit * 16 : bit * 16 + 16] = value
    x = (5 * index) % (width - 24)
    image[40:70, x : x + 24] = (200, 40, 250)
    return image


def number_of(image):
    """The index that is drawn into a whole picture."""
    return sum(int(image[4:12, b * 16 + 4 : b * 16 + 12].mean() > 128) << b for b in range(BITS))


def encode(
    path, frames=30, fps=25, codec="libx264", stamps=None, gop=12, start=0.0, rate=None,
    options=None, b_frames=0, format=None, muxer=None, first=0, size=(160, 96), sound_s=0.0,
    pictures=None,
):  # fmt: skip
    """Write a video; stamps in seconds (default: the index / fps, from `start` on).

    pictures: what frame i shows, instead of its number.
    """
    stamps = [start + i / fps for i in range(frames)] if stamps is None else stamps
    base = Fraction(1, 90000)
    with av.open(str(path), "w", format=muxer, options=options or {}) as out:
        stream = out.add_stream(codec, rate=rate or Fraction(fps).limit_denominator(1001))
        stream.width, stream.height = size
        stream.pix_fmt = format or ("yuvj420p" if codec == "mjpeg" else "yuv420p")
        stream.codec_context.gop_size = gop
        stream.codec_context.max_b_frames = b_frames
        free = codec.startswith("lib")  # the others know frames of one rate
        if free:
            stream.codec_context.time_base = base
        if codec == "libx264":
            stream.options = {"sc_threshold": "0", "crf": "20"}
        sound = out.add_stream("aac", rate=8000) if sound_s else None
        for i, at in enumerate(stamps):
            image = numbered(first + i, *size) if pictures is None else pictures(i)
            frame = av.VideoFrame.from_ndarray(image, "bgr24")
            frame.pts, frame.time_base = round(at * 90000), base
            if not free:
                frame.pts, frame.time_base = round(at * fps), Fraction(1, int(fps))
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if sound is not None:
            _noise(out, sound, sound_s)
    return path


def _noise(out, sound, seconds):
    for i in range(round(seconds * 8000 / 1024)):
        data = np.zeros((1, 1024), np.float32)
        frame = av.AudioFrame.from_ndarray(data, "fltp", "mono")
        frame.sample_rate, frame.pts = 8000, i * 1024
        out.mux(sound.encode(frame))
    out.mux(sound.encode(None))


def decodable(path):
    """How many frames PyAV decodes of a file when it reads on behind every error."""
    count, errors = 0, 0
    with av.open(f"file:{path}", metadata_errors="replace") as container:
        stream = container.streams.best("video")  # damage may make two of one
        stream.thread_type = "NONE"  # others lose pictures near damage
        while errors < 64:
            try:
                for packet in container.demux(stream):
                    errors = 0
                    if packet.size:
                        with contextlib.suppress(av.error.FFmpegError):
                            count += len(stream.decode(packet))
                break
            except (av.error.FFmpegError, ValueError):
                errors += 1
            except IndexError:
                pass
        with contextlib.suppress(av.error.FFmpegError):
            count += len(stream.decode(None))
    return count


def break_bytes(path, start, stop, seed=0):
    """Overwrite a share of a file, start to stop in 0..1, with noise."""
    data = bytearray(path.read_bytes())
    a, b = int(len(data) * start), int(len(data) * stop)
    data[a:b] = np.random.default_rng(seed).bytes(b - a)
    path.write_bytes(data)
    return path
