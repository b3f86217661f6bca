// What a drawing or a picture shows, beside it: by pointer, by touch, and by keyboard.
// Members of a [data-row] share one stop for the keyboard; arrow keys go along it.
{
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  tip.setAttribute("aria-hidden", "true"); // the same words are each member's own label
  document.body.append(tip);

  const show = (target) => {
    tip.replaceChildren();
    if (target.dataset.src !== undefined || target.tagName === "IMG") {
      const picture = document.createElement("img");
      picture.src = target.src;
      picture.alt = "";
      tip.append(picture);
    }
    tip.append(target.dataset.tip);
    tip.hidden = false;
    const at = target.getBoundingClientRect();
    const half = tip.offsetWidth / 2;
    const middle = at.left + at.width / 2;
    const room = document.documentElement.clientWidth - tip.offsetWidth - 8;
    const above = at.top - tip.offsetHeight - 8;
    tip.style.left = `${Math.max(8, Math.min(middle - half, room)) + scrollX}px`;
    tip.style.top = `${(above > 0 ? above : at.bottom + 8) + scrollY}px`;
  };
  const hide = () => { tip.hidden = true; };
  const holder = (event) => event.target.closest?.("[data-tip]");

  document.addEventListener("pointerover", (event) => {
    const target = holder(event);
    if (target) show(target);
    else if (!tip.contains(event.target)) hide();
  });
  document.addEventListener("focusin", (event) => {
    const target = holder(event);
    if (target) show(target);
    else hide();
  });
  document.addEventListener("click", (event) => { if (holder(event)) show(holder(event)); });
  document.addEventListener("focusout", hide);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });

  const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 };
  for (const row of document.querySelectorAll("[data-row]")) {
    const members = [...row.querySelectorAll("[data-tip]")];
    members.forEach((member, i) => {
      member.tabIndex = i === 0 ? 0 : -1;
      member.removeAttribute("title");
    });
    row.addEventListener("keydown", (event) => {
      const at = members.indexOf(event.target);
      const ends = { Home: 0, End: members.length - 1 };
      const next = members[ends[event.key] ?? at + (step[event.key] ?? NaN)];
      if (at < 0 || next === undefined) return;
      event.preventDefault();
      members[at].tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    });
  }
}
