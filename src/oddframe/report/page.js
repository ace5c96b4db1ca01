// Reads each chart's values back from its paths and shows those under the pointer.
(() => {
  "use strict";
  const GRID = 10000;

  const clock = (s) => {
    const t = Math.round(Math.abs(s) * 100) / 100, h = Math.floor(t / 3600), m = Math.floor(t / 60) % 60;
    const sec = (t % 60).toFixed(2).padStart(5, "0");
    return (s < 0 ? "−" : "") + (h ? h + ":" + String(m).padStart(2, "0") : m) + ":" + sec;
  };
  const short = (v) => (v === 0 ? "0" : Math.abs(v) >= 1e5 || Math.abs(v) < 1e-4 ? v.toExponential(2)
    : String(Number(v.toPrecision(4)))).replace("-", "−");

  // Index of the vertex nearest to x in an ascending list of [x, y].
  const nearest = (points, x) => {
    let a = 0, b = points.length - 1;
    while (b - a > 1) {
      const mid = (a + b) >> 1;
      if (points[mid][0] <= x) a = mid; else b = mid;
    }
    return b >= 0 && Math.abs(points[b][0] - x) < Math.abs(points[a][0] - x) ? b : a;
  };

  const read = (plot) => {
    const [x0, x1] = plot.dataset.x.split(" ").map(Number);
    const [y0, y1] = plot.dataset.y.split(" ").map(Number);
    const log = "log" in plot.dataset, low = log ? Math.log10(y0) : y0, high = log ? Math.log10(y1) : y1;
    return {
      time: "time" in plot.dataset,
      limit: Number(plot.dataset.limit),
      x: (px) => x0 + (px / GRID) * (x1 - x0),
      y: (py) => { const v = high - (py / GRID) * (high - low); return log ? 10 ** v : v; },
      lines: [...plot.querySelectorAll("path[data-name]")].map((path) => ({
        name: path.dataset.name,
        points: [...path.getAttribute("d").matchAll(/(-?\d+) (-?\d+)/g)].map((m) => [+m[1], +m[2]]),
      })).filter((line) => line.points.length),
      truth: [...plot.querySelectorAll("rect.truth")].map((r) => [+r.getAttribute("x"), +r.getAttribute("x") + +r.getAttribute("width")]),
    };
  };

  const text = (data, px) => {
    const at = data.lines.map((line) => line.points[nearest(line.points, px)]);
    const rows = [data.time ? clock(data.x(at[0][0])) : short(data.x(at[0][0]))];
    data.lines.forEach((line, i) => {
      const value = data.y(at[i][1]);
      rows.push(line.name + "  " + short(value));
      if (data.limit) rows.push("level  " + short(value / data.limit) + (value >= data.limit ? "  alarm" : ""));
    });
    if (data.truth.some(([a, b]) => a <= at[0][0] && at[0][0] <= b)) rows.push("truth: abnormal");
    return [rows.join("\n"), at];
  };

  document.querySelectorAll(".plot").forEach((plot) => {
    let data = null, made = [], here = null;
    const add = (name) => {
      const node = document.createElement("div");
      node.className = name;
      plot.append(node);
      made.push(node);
      return node;
    };
    const clear = () => { made.forEach((node) => node.remove()); made = []; };
    const show = (px) => {
      data = data || read(plot);
      if (!data.lines.length) return;
      clear();
      const [words, at] = text(data, px);
      here = at[0][0];
      add("cursor").style.left = here / 100 + "%";
      at.forEach(([x, y]) => {
        const dot = add("dot");
        dot.style.left = x / 100 + "%";
        dot.style.top = Math.min(Math.max(y / 100, 0), 100) + "%";
      });
      const tip = add("tip");
      tip.textContent = words;
      const room = plot.clientWidth, left = (here / GRID) * room, wide = tip.offsetWidth;
      tip.style.left = Math.max(0, left + 12 + wide > room ? left - wide - 12 : left + 12) + "px";
    };
    const follow = (event) => {
      const box = plot.getBoundingClientRect();
      show(Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1) * GRID);
    };
    plot.addEventListener("pointermove", follow);
    plot.addEventListener("pointerdown", follow);
    plot.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") clear(); });
    plot.addEventListener("blur", clear);
    plot.addEventListener("keydown", (event) => {
      if (event.key === "Escape") return clear();
      if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
      event.preventDefault();
      data = data || read(plot);
      if (!data.lines.length) return;
      const points = data.lines[0].points;
      const i = here === null ? 0 : nearest(points, here) + (event.key === "ArrowRight" ? 1 : -1);
      show(points[Math.min(Math.max(i, 0), points.length - 1)][0]);
    });
  });
})();
