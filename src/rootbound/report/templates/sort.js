// A table is sorted by the column whose heading is pressed; once more turns the order round. Columns
// are chosen above it. Without this script the table is there all the same.
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  const value = (row, column) => row.cells[column].firstChild.textContent.trim();
  const number = (text) => parseFloat(text.replace("−", "-"));

  const sort = (heading) => {
    const column = heading.cellIndex, up = heading.ariaSort !== "ascending";
    for (const other of headings) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", up ? "ascending" : "descending");
    const rows = [...table.tBodies[0].rows].sort((one, other) => {
      const a = value(one, column), b = value(other, column), x = number(a), y = number(b);
      if (isNaN(x) !== isNaN(y)) return isNaN(x) ? 1 : -1;
      const order = isNaN(x) ? a.localeCompare(b) : x - y;
      return up ? order : -order;
    });
    table.tBodies[0].append(...rows);
  };

  const choice = document.createElement("fieldset");
  choice.className = "choice";
  choice.append(Object.assign(document.createElement("legend"), { textContent: "Columns" }));
  for (const heading of headings) {
    const button = Object.assign(document.createElement("button"), { type: "button" });
    button.append(...heading.childNodes);
    heading.append(button);
    heading.addEventListener("click", () => sort(heading));
    if (heading.cellIndex === 0) continue;  // names stay
    const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: true });
    box.addEventListener("change", () => {
      for (const row of table.rows) row.cells[heading.cellIndex].hidden = !box.checked;
    });
    const label = document.createElement("label");
    label.append(box, " " + heading.textContent);
    choice.append(label);
  }
  table.closest(".scroll").before(choice);
}
