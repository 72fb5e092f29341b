const box = document.getElementById("filter");
const rows = [...document.querySelectorAll("tbody tr")];
const texts = rows.map((row) => row.textContent.toLowerCase());
const parts = [...document.querySelectorAll("section")];
const folds = [...document.querySelectorAll("section details")];
const told = document.getElementById("told");
function filter() {
  const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
  let seen = 0;
  rows.forEach((row, i) => { row.hidden = !words.every((w) => texts[i].includes(w)); seen += !row.hidden; });
  parts.forEach((part) => { part.hidden = words.length > 0 && !part.querySelector("tbody tr:not([hidden])"); });
  folds.forEach((fold) => { fold.open = words.length > 0 && seen <= 200 && !!fold.querySelector("tbody tr:not([hidden])"); });
  told.textContent = `${seen} of ${rows.length} runs`;
}
box.addEventListener("input", filter);
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement !== box) { event.preventDefault(); box.focus(); }
  if (event.key === "Escape") { box.value = ""; filter(); box.blur(); }
});
