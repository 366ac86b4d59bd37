// Sorts a table by the column whose heading is clicked; once more turns the order round.
for (const heading of document.querySelectorAll("table.sortable th")) {
  heading.tabIndex = 0;
  const sort = () => {
    const table = heading.closest("table"), body = table.tBodies[0];
    const column = heading.cellIndex, up = heading.ariaSort !== "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", up ? "ascending" : "descending");
    const value = (row) => row.cells[column].firstChild.textContent.trim();
    const number = (text) => parseFloat(text.replace("−", "-"));
    const rows = [...body.rows].sort((one, other) => {
      const a = value(one), b = value(other), x = number(a), y = number(b);
      if (isNaN(x) !== isNaN(y)) return isNaN(x) ? 1 : -1;
      const order = isNaN(x) ? a.localeCompare(b) : x - y;
      return up ? order : -order;
    });
    body.append(...rows);
  };
  heading.addEventListener("click", sort);
  heading.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(); });
}
