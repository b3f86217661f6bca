// Tables: sorting by the headers, and focus for those that scroll.
{
  const TALL = 60; // rows; longer tables scroll by themselves, under their heads
  const said = document.createElement("p");
  said.className = "said";
  said.setAttribute("role", "status");
  document.body.append(said);

  const value = (row, column) => {
    const cell = row.cells[column];
    const text = cell.dataset.v ?? cell.textContent.trim();
    const number = text === "" ? NaN : Number(text);
    return Number.isNaN(number) ? text : number;
  };
  const lacks = (found) => found === "" || found === "–";
  const compare = (a, b) =>
    typeof a === "number" && typeof b === "number"
      ? a - b
      : String(a).localeCompare(String(b), undefined, { numeric: true });

  // A third turn brings back the order in which the page came, such as the largest effect first.
  const sort = (table, header, atFirst) => {
    const column = header.cellIndex;
    const order = header.getAttribute("aria-sort");
    const first = header.classList.contains("n") ? "descending" : "ascending";
    const other = first === "descending" ? "ascending" : "descending";
    for (const cell of header.parentNode.cells) cell.removeAttribute("aria-sort");
    if (order === other) {
      table.tBodies[0].append(...atFirst);
      said.textContent = "In the first order again";
      return;
    }
    const chosen = order === first ? other : first;
    const turn = chosen === "descending" ? -1 : 1;
    header.setAttribute("aria-sort", chosen);
    const rows = [...table.tBodies[0].rows].map((row) => [value(row, column), row]);
    rows.sort(([a], [b]) => lacks(a) - lacks(b) || turn * compare(a, b));
    table.tBodies[0].append(...rows.map(([, row]) => row));
    said.textContent = `Sorted by ${header.textContent.trim()}, ${chosen}`;
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    const atFirst = [...table.tBodies[0].rows];
    if (atFirst.length < 2) continue;
    if (atFirst.length > TALL) table.closest(".scroll").classList.add("tall");
    for (const header of [...table.tHead.rows].at(-1).cells) {
      if (header.hasAttribute("data-plain") || header.textContent.trim() === "") continue;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...header.childNodes);
      header.append(button);
      button.addEventListener("click", () => sort(table, header, atFirst));
    }
  }

  // A region that does not scroll is no stop for the keyboard.
  const watch = new ResizeObserver((seen) => {
    for (const { target } of seen) {
      const region = target.closest(".scroll");
      const wide = region.scrollWidth > region.clientWidth + 1;
      if (wide || region.scrollHeight > region.clientHeight + 1) region.tabIndex = 0;
      else region.removeAttribute("tabindex");
    }
  });
  for (const region of document.querySelectorAll(".scroll")) {
    watch.observe(region);
    watch.observe(region.firstElementChild);
  }
}
