// Tables: sorting by the headers, and focus for those that scroll sideways.
{
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

  const sort = (table, header) => {
    const column = header.cellIndex;
    const order = header.getAttribute("aria-sort");
    const first = header.classList.contains("n") ? "descending" : "ascending";
    const other = first === "descending" ? "ascending" : "descending";
    const chosen = order === first ? other : first;
    const turn = chosen === "descending" ? -1 : 1;
    for (const cell of header.parentNode.cells) cell.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", chosen);
    const rows = [...table.tBodies[0].rows].map((row) => [value(row, column), row]);
    rows.sort(([a], [b]) => lacks(a) - lacks(b) || turn * compare(a, b));
    table.tBodies[0].append(...rows.map(([, row]) => row));
    said.textContent = `Sorted by ${header.textContent.trim()}, ${chosen}`;
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    for (const header of [...table.tHead.rows].at(-1).cells) {
      if (header.hasAttribute("data-plain") || header.textContent.trim() === "") continue;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...header.childNodes);
      header.append(button);
      button.addEventListener("click", () => sort(table, header));
    }
  }

  // A region that does not scroll is no stop for the keyboard.
  const watch = new ResizeObserver((seen) => {
    for (const { target } of seen) {
      const region = target.closest(".scroll");
      if (region.scrollWidth > region.clientWidth + 1) region.tabIndex = 0;
      else region.removeAttribute("tabindex");
    }
  });
  for (const region of document.querySelectorAll(".scroll")) {
    watch.observe(region);
    watch.observe(region.firstElementChild);
  }
}
