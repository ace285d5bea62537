// Sorts tables by the column whose button is pressed. Rows that are equal keep their order.
const collator = new Intl.Collator(undefined, { numeric: true });

function valueOf(row, column, kind) {
  const cell = row.cells[column];
  return kind === "number" ? Number(cell.dataset.value) : cell.textContent;
}

element.addEventListener("click", (event) => {
  const head = event.target.closest(".sortable thead button")?.closest("th");
  if (!head) return;
  const body = head.closest("table").tBodies[0];
  const kind = head.dataset.kind;
  const sign = head.ariaSort === "ascending" ? -1 : 1;
  for (const other of head.parentElement.cells) other.ariaSort = "none";
  head.ariaSort = sign > 0 ? "ascending" : "descending";
  const rows = [...body.rows].map((row) => [valueOf(row, head.cellIndex, kind), row]);
  const compare = kind === "number" ? (a, b) => a - b : collator.compare;
  rows.sort(([a], [b]) => sign * compare(a, b));
  body.append(...rows.map(([, row]) => row));
});
