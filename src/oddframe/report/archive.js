// Sifts the events of an archive by file, orders them, and makes a picture large.
addEventListener("DOMContentLoaded", () => {
  "use strict";
  const form = document.querySelector(".sift"), list = document.querySelector(".cards");
  if (!form || !list) return;
  const cards = [...list.children];

  const sift = () => {
    const file = form.elements.file.value, byTime = form.elements.order.value === "time";
    const before = (a, b) => byTime
      ? a.dataset.file.localeCompare(b.dataset.file, undefined, { numeric: true }) || a.dataset.at - b.dataset.at
      : a.dataset.rank - b.dataset.rank;
    cards.sort(before).forEach((card) => {
      card.hidden = Boolean(file) && card.dataset.file !== file;
      list.append(card);
    });
    const shown = cards.filter((card) => !card.hidden).length;
    form.querySelector("output").textContent = shown + (shown === 1 ? " event" : " events");
  };

  form.addEventListener("change", sift);
  form.addEventListener("submit", (event) => event.preventDefault());
  list.addEventListener("click", (event) => {
    if (event.target.tagName !== "IMG") return;
    const card = event.target.closest(".card");
    card.classList.toggle("large");
    card.scrollIntoView({ block: "nearest" });
  });
  sift();
});
