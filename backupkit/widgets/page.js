// HTML whose rows can be picked: by the button of a row, or by a click elsewhere in the row.
function render({ model, el }) {
  const page = document.createElement("div");
  el.append(page);
  const show = () => {
    const focused = page.contains(document.activeElement)
      ? document.activeElement.dataset.pick
      : undefined;
    page.innerHTML = model.get("value");
    if (focused !== undefined) page.querySelector(`[data-pick="${focused}"]`)?.focus();
  };
  model.on("change:value", show);
  show();
  page.addEventListener("click", (event) => {
    const own = event.target.closest("a, summary, button");
    if (own && !own.hasAttribute("data-pick")) return;
    if (!own && String(document.getSelection())) return; // text is being selected
    const button = own ?? event.target.closest("tr")?.querySelector("[data-pick]");
    if (button) model.send({ kind: "pick", row: Number(button.dataset.pick) });
  });
}

export default { render };
