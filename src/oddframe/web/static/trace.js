// Scores of the last minutes, all by the server's clock: a browser's may be minutes beside it.

let ahead = 0; // of the server's clock, in seconds

// What the server says its time is; told with the cameras.
export function serverIs(t) {
  ahead = Date.now() / 1000 - t;
}

// Seconds since 1970, as the server has them.
export const now = () => Date.now() / 1000 - ahead;

// points: [[t, value or null], …], the newest last; a null breaks the line.
export class Trace {
  constructor(backS) {
    Object.assign(this, { backS, points: [] });
  }

  add(t, value) {
    const last = this.points.at(-1)?.[0] ?? 0;
    if (t < last - this.backS) this.points = []; // the server's clock was set back
    else if (t <= last) return;
    this.points.push([t, value ?? null]);
    while (this.points[0][0] < t - this.backS) this.points.shift();
  }

  // What the server kept of these minutes stands for what was heard of them.
  fill(times, values) {
    const last = times.at(-1) ?? -Infinity;
    this.points = [...times.map((t, i) => [t, values[i]]), ...this.points.filter(([t]) => t > last)];
  }

  // Nothing is heard any more: no line to what comes next.
  lift() {
    const last = this.points.at(-1);
    if (last && last[1] !== null) this.points.push([last[0], null]);
  }
}
