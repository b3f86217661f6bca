// A box above every long table that leaves only the rows with these words, or those that changed.
{
  const LONG = 8;
  const make = (name, attributes = {}, ...inside) => {
    const made = Object.assign(document.createElement(name), attributes);
    made.append(...inside);
    return made;
  };
  const words = (text) => text.toLocaleLowerCase().split(/\s+/).filter(Boolean);

  for (const table of document.querySelectorAll("table.sortable")) {
    const rows = [...table.tBodies[0].rows];
    if (rows.length <= LONG) continue;
    const name = table.caption?.textContent.trim() ?? "table";
    const box = make("input", { type: "search", autocomplete: "off", spellcheck: false });
    box.setAttribute("aria-label", `Filter: ${name}`);
    const count = make("output", { className: "quiet" });
    const bar = make("div", { className: "filter" }, make("label", {}, "Filter ", box));
    const only = make("input", { type: "checkbox" });
    const marked = rows.filter((row) => row.classList.contains("on")).length;
    if (marked > 0 && marked < rows.length) {
      only.setAttribute("aria-label", `${table.dataset.only} only: ${name}`);
      bar.append(make("label", {}, only, ` ${table.dataset.only} only`));
    }
    bar.append(count);
    table.closest(".scroll").before(bar);

    const texts = rows.map((row) => row.textContent.toLocaleLowerCase());
    const apply = () => {
      const wanted = words(box.value);
      rows.forEach((row, i) => {
        const fits = wanted.every((word) => texts[i].includes(word));
        row.hidden = !fits || (only.checked && !row.classList.contains("on"));
      });
      const left = rows.filter((row) => !row.hidden).length;
      const [shown, all] = [left, rows.length].map((number) => number.toLocaleString("en"));
      count.textContent = left === rows.length ? `${all} rows` : `${shown} of ${all} rows`;
    };
    box.addEventListener("input", apply);
    only.addEventListener("change", apply);
    box.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || box.value === "") return;
      box.value = "";
      apply();
    });
    apply();
  }
}
