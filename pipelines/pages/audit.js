// The drawings of a trend are read together: pointing at an audit in one shows its values in all.
{
  const figures = [...document.querySelectorAll("figure.history")];

  function show(column) {
    for (const element of document.querySelectorAll("[data-column]"))
      element.classList.toggle("at", element.dataset.column === column);
    for (const figure of figures) {
      const point = figure.querySelector(`.point[data-column="${column}"]`);
      const read = figure.querySelector(".read");
      if (!read) continue;
      read.querySelector(".name").textContent = point ? point.dataset.audit : "";
      read.querySelector(".text").textContent = point ? point.dataset.text : "not measured";
    }
  }

  function move(point, key) {
    const points = [...point.closest("svg").querySelectorAll(".point")];
    const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -points.length, End: points.length };
    const to = points.indexOf(point) + steps[key];
    const next = points[Math.max(0, Math.min(points.length - 1, to))];
    point.setAttribute("tabindex", "-1");
    next.setAttribute("tabindex", "0");
    next.focus();
  }

  for (const element of document.querySelectorAll(".hit, .audits [data-column]"))
    element.addEventListener("pointerenter", () => show(element.dataset.column));
  for (const point of document.querySelectorAll(".point")) {
    point.addEventListener("focus", () => show(point.dataset.column));
    point.addEventListener("keydown", (event) => {
      if (!["ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key)) return;
      event.preventDefault();
      move(point, event.key);
    });
  }
}
