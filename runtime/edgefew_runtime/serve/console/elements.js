// Makes elements without ever reading a string as HTML: labels and messages are text.

/** An element with attributes, listeners (`onclick`, …) and children; what is null or false is left out. */
export function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same in SVG. */
export function drawing(tag, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

/** The element of the page with this id. */
export function byId(id) {
  return document.getElementById(id);
}

/** Shows a message in an element that is hidden without one. */
export function show(place, message) {
  place.textContent = message ?? "";
  place.hidden = !message;
}

/** "1 example", "3 examples", "2 classes". */
export function plural(number, noun) {
  return `${number} ${number === 1 ? noun : noun.endsWith("s") ? `${noun}es` : `${noun}s`}`;
}

export function percent(share) {
  if (share > 0.995 && share < 1) return "over 99 %";
  return `${Math.round(share * 100)} %`;
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}
