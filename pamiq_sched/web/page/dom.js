// Nodes are made here, and text is only ever set as text: what a run logs is never read as HTML.

export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

/** Writes only what differs, so that nothing is announced or selected anew for nothing. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export const find = (id) => document.getElementById(id);

/** Makes the rows of a table what `rows` says: arrays of text, the first the header of its row. Those there are reused. */
export function setRows(body, rows, empty) {
  if (rows.length === 0) {
    const columns = body.closest("table").querySelectorAll("thead th").length;
    if (body.rows.length !== 1 || body.rows[0].textContent !== empty) {
      body.replaceChildren(
        element("tr", {}, element("td", { colSpan: columns, className: "empty", textContent: empty })),
      );
    }
    return;
  }
  while (body.rows.length > rows.length) body.deleteRow(-1);
  rows.forEach((texts, at) => {
    let row = body.rows[at];
    if (!row || row.cells.length !== texts.length) {
      const made = element("tr", {}, element("th", { scope: "row" }), ...texts.slice(1).map(() => element("td")));
      if (row) row.replaceWith(made);
      else body.append(made);
      row = made;
    }
    texts.forEach((text, column) => setText(row.cells[column], text));
  });
}
