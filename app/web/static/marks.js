// Painting the week: click and drag sets the chosen mark; the fields themselves stay what the keyboard uses.
"use strict";

const show = (field) => { field.className = field.value; };

for (const area of document.querySelectorAll("[data-marks]")) {
  const fields = [...area.querySelectorAll("select")];
  const brushes = area.querySelector(".brushes");
  if (area.disabled) continue;
  brushes.hidden = false;
  let painting = null;
  let last = null;

  const chosen = () => brushes.querySelector("input:checked").value;
  const paint = (field) => {
    field.value = painting;
    show(field);
  };
  // The first field that is touched says whether the stroke marks or wipes.
  const begin = (touched) => { painting = touched.every((each) => each.value === chosen()) ? "" : chosen(); };

  area.addEventListener("pointerdown", (event) => {
    const field = event.target.closest("select");
    if (!field) return;
    event.preventDefault();
    field.focus();
    event.target.releasePointerCapture?.(event.pointerId);
    begin([field]);
    paint(field);
    last = event;
  });
  area.addEventListener("pointermove", (event) => {
    if (painting === null) return;
    // A fast hand jumps over fields: all on the straight line from the last place are meant.
    const [width, height] = [event.pageX - last.pageX, event.pageY - last.pageY];
    const steps = Math.ceil(Math.hypot(width, height) / 8);
    for (let step = 1; step <= steps; step += 1) {
      const [x, y] = [last.pageX + (width * step) / steps, last.pageY + (height * step) / steps];
      const field = document.elementFromPoint(x - scrollX, y - scrollY)?.closest("select");
      if (field && area.contains(field)) paint(field);
    }
    last = event;
  });
  document.addEventListener("pointerup", () => { painting = null; });
  area.addEventListener("mousedown", (event) => { if (event.target.closest("select")) event.preventDefault(); });
  area.addEventListener("change", (event) => { if (event.target.matches("select")) show(event.target); });

  // A heading paints its whole row or column.
  area.addEventListener("click", (event) => {
    const heading = event.target.closest("th");
    if (!heading) return;
    const table = heading.closest("table");
    const index = heading.cellIndex;
    const cells = heading.scope === "row"
      ? [...heading.parentElement.querySelectorAll("select")]
      : [...table.tBodies[0].rows].map((row) => row.cells[index]?.querySelector("select")).filter(Boolean);
    if (cells.length === 0) return;
    begin(cells);
    cells.forEach(paint);
    painting = null;
  });
  fields.forEach(show);
}
