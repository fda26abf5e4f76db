// Drags a lesson to another time. The page of the picked lesson says what each time would do; a drop sends its form.
"use strict";

for (const select of document.querySelectorAll("[data-submit]")) {
  select.addEventListener("change", () => select.form.requestSubmit());
  select.form.querySelector("button").hidden = true;
}

const grid = document.querySelector("[data-drag]");
let picked = null;

function clear() {
  for (const cell of grid.querySelectorAll("[data-verdict]")) cell.removeAttribute("data-verdict");
  picked = null;
}

async function pick(address) {
  const page = await fetch(address);
  if (!page.ok) return null;
  const fresh = new DOMParser().parseFromString(await page.text(), "text/html");
  const forms = new Map();
  for (const cell of fresh.querySelectorAll("td[data-time]")) {
    const form = cell.querySelector("form");
    if (form) forms.set(cell.dataset.time, form);
  }
  return forms;
}

if (grid) {
  document.addEventListener("dragstart", (event) => {
    const lesson = event.target.closest?.("a.lesson[draggable]");
    if (!lesson) return;
    event.dataTransfer.effectAllowed = "move";
    event.dataTransfer.setData("text/plain", lesson.textContent.trim());
    const asked = pick(lesson.href);
    picked = asked;
    asked.then((forms) => {
      if (picked !== asked || !forms) return;
      for (const [time, form] of forms) {
        const verdict = form.querySelector("button").classList[1];
        grid.querySelector(`td[data-time="${time}"]`)?.setAttribute("data-verdict", verdict);
      }
    });
  });
  grid.addEventListener("dragover", (event) => {
    if (picked && event.target.closest("td[data-time]")) event.preventDefault();
  });
  grid.addEventListener("drop", async (event) => {
    const cell = event.target.closest("td[data-time]");
    if (!picked || !cell) return;
    event.preventDefault();
    const forms = await picked;
    clear();
    const form = forms?.get(cell.dataset.time);
    if (!form) return;
    form.hidden = true;
    document.body.append(document.adoptNode(form));
    form.submit();
  });
  // A drop comes before the end of the drag, and takes what was picked along.
  document.addEventListener("dragend", () => setTimeout(clear, 0));
}
