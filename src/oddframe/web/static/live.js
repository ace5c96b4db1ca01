// The socket: pictures and heat for canvases, and what changed.
//
//   live.on("cameras" | "event" | "job" | "problem" | "state" | "back" | "picture" | "heat", f) -> off
//       state: open or not; back: open again after it was lost, so that something may be missing
//   live.watch({cameras, width, fps, heat})     what pictures are wanted; the last call holds
//
// A binary message is u32 little-endian length of a JSON header, the header, a JPEG or PNG.

const FIRST_MS = 500, LONGEST_MS = 15000;
// The server says every second how the cameras are. A box without power or a cable that is out ends
// no connection: it is only silent, and a page can send no ping.
const SILENT_MS = 6000, LOOK_MS = 1000;
const NOTHING = { cameras: [], heat: false };

export class Live {
  constructor(address) {
    this.address = address;
    this.open = false;
    this.heard = new Map();
    this.wanted = NOTHING;
    this.lost = false; // it was open once, and may not be any more
    this.heardMs = 0;
    this.tries = 0;
    this.busy = new Map(); // camera and kind -> the newest message that waits, null: none
    // Who doesn't look needs no pictures; what changed is still told, for the title and alarms.
    document.addEventListener("visibilitychange", () => this.subscribe());
    setInterval(() => { if (this.open && performance.now() - this.heardMs > SILENT_MS) this.lose(); }, LOOK_MS);
  }

  on(kind, then) {
    if (!this.heard.has(kind)) this.heard.set(kind, new Set());
    this.heard.get(kind).add(then);
    return () => this.heard.get(kind).delete(then);
  }

  tell(kind, ...values) {
    for (const then of this.heard.get(kind) ?? []) {
      try {
        then(...values);
      } catch (error) {
        console.error(error); // one screen's fault is not another's
      }
    }
  }

  watch(wanted) {
    this.wanted = wanted ?? NOTHING;
    this.subscribe();
  }

  subscribe() {
    if (this.open) this.socket.send(JSON.stringify(document.hidden ? { ...this.wanted, ...NOTHING } : this.wanted));
  }

  connect() {
    this.closed = false;
    const socket = (this.socket = new WebSocket(this.address));
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      const back = this.lost;
      Object.assign(this, { open: true, lost: false, heardMs: performance.now(), tries: 0 });
      this.subscribe();
      this.tell("state", true);
      if (back) this.tell("back");
    };
    socket.onmessage = (message) => {
      this.heardMs = performance.now();
      this.read(message.data);
    };
    socket.onclose = () => this.lose();
  }

  // The connection is over, or as good as over: that it is closed may not be heard for minutes.
  lose() {
    const old = this.socket;
    old.onopen = old.onmessage = old.onclose = null;
    old.close();
    this.lost ||= this.open;
    this.open = false;
    this.tell("state", false);
    if (!this.closed) this.later();
  }

  later() {
    const wait = Math.min(LONGEST_MS, FIRST_MS * 2 ** this.tries++);
    // Not all pages at once when the server is back.
    this.timer = setTimeout(() => this.connect(), wait * (0.7 + 0.6 * Math.random()));
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    this.socket?.close();
  }

  read(data) {
    try {
      if (typeof data === "string") {
        const said = JSON.parse(data);
        if (typeof said.kind === "string") this.tell(said.kind, said);
        return;
      }
      const size = new DataView(data).getUint32(0, true);
      const head = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, size)));
      this.decode(head, new Uint8Array(data, 4 + size));
    } catch (error) {
      console.warn("a message of the live socket is not understood", error);
    }
  }

  // Decode away from the page's thread; meanwhile only the newest of a camera waits.
  async decode(head, body) {
    const key = `${head.kind} ${head.camera}`;
    if (this.busy.has(key)) {
      this.busy.set(key, [head, body]);
      return;
    }
    this.busy.set(key, null);
    for (let next = [head, body]; next; next = this.busy.get(key)) {
      this.busy.set(key, null);
      const type = next[0].kind === "heat" ? "image/png" : "image/jpeg";
      const bitmap = await createImageBitmap(new Blob([next[1]], { type })).catch(() => null);
      if (bitmap) {
        this.tell(next[0].kind, next[0], bitmap);
        bitmap.close();
      }
    }
    this.busy.delete(key);
  }
}

// Draw a picture over the whole of a canvas, which takes its size.
export function draw(canvas, bitmap) {
  if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
    canvas.width = bitmap.width;
    canvas.height = bitmap.height;
  }
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
}

// Grey 0..255 is 0..2 times the threshold: below half of it nothing is drawn, at the threshold it
// is orange, far beyond white-hot. RGBA, premultiplied by nobody.
const RAMP = new Uint8ClampedArray(256 * 4);
for (let grey = 0; grey < 256; grey++) {
  const level = grey / 127.5;
  const over = Math.max(0, level - 1);
  RAMP.set([255, level < 1 ? 200 - 110 * level : 90 + 165 * over, over * 200, 255 * Math.min(1, Math.max(0, (level - 0.4) / 0.6))], grey * 4);
}

// A heat map as colours; `work` is a canvas that is used again.
export function drawHeat(canvas, bitmap, work) {
  work.width = bitmap.width;
  work.height = bitmap.height;
  const pen = work.getContext("2d", { willReadFrequently: true });
  pen.drawImage(bitmap, 0, 0);
  const image = pen.getImageData(0, 0, work.width, work.height);
  const cells = image.data;
  for (let i = 0; i < cells.length; i += 4) {
    const at = cells[i] * 4;
    for (let k = 0; k < 4; k++) cells[i + k] = RAMP[at + k];
  }
  pen.putImageData(image, 0, 0);
  const out = canvas.getContext("2d");
  out.clearRect(0, 0, canvas.width, canvas.height);
  out.imageSmoothingEnabled = true;
  out.drawImage(work, 0, 0, canvas.width, canvas.height);
}
