// Elements made of text and attributes, never of markup; and numbers as the page tells them.

const SVG = "http://www.w3.org/2000/svg";

export const $ = (id) => document.getElementById(id);

export function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function draw(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

// Text of the run, which may run from right to left: it turns nothing around it.
export const isolated = (text) => make("bdi", {}, text);

export const whole = (number) => number.toLocaleString("en");

export const fixed = (number, digits = 3) => (number === null ? "–" : number.toFixed(digits));

export function precision(estimate) {
  if (estimate.precision === null) return "no mark of the sample yet";
  const [low, high] = [estimate.low, estimate.high].map((share) => fixed(share));
  return `${fixed(estimate.precision)} (${low} to ${high}, ${estimate.marked} marks)`;
}
