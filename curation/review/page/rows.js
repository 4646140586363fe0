// The rows of a page: a caption each, with its evidence, its mark, and its buttons.

import { fixed, isolated, make } from "./dom.js";

// Labels of reasons by name, filled from the server's answer.
export const REASONS = {};

const span = (...children) => make("span", {}, ...children);

export function row(item, act) {
  const score = (name, value) => (value === null ? null : span(`${name} ${fixed(value)}`));
  const scores = item.error !== null ? [] : [
    score("CLAP", item.clap_score), score("log-prob", item.log_prob),
    score("second scorer", item.second_score), span(`rank ${item.rank}`),
  ];
  const heading = item.error === null ? isolated(item.caption) : make("span", {}, "no caption: ", isolated(item.error));
  const element = make("li", { tabindex: -1, "data-entry": item.entry },
    make("p", { class: "caption" }, heading),
    make("p", { class: "facts" }, span(isolated(item.clip_id)), ...scores,
      make("span", { class: "reason" }), item.tags.length ? span(...between(item.tags)) : null,
      make("span", { class: "verdict" })),
    make("div", { class: "buttons" }, ...buttons(item, act)));
  update(element, item);
  return element;
}

// What moves with the threshold and with marks.
export function update(element, item) {
  element.querySelector(".reason").textContent = REASONS[item.reason];
  const verdict = element.querySelector(".verdict");
  const mark = item.mark;
  element.className = mark?.verdict ?? "";
  verdict.className = `verdict ${mark?.verdict ?? ""}`;
  verdict.hidden = !mark;
  verdict.replaceChildren();
  if (!mark) return;
  verdict.append(mark.verdict);
  if (mark.corrected) verdict.append(": ", isolated(mark.corrected));
  verdict.append(" by ", isolated(mark.marker));
}

function between(tags) {
  return tags.flatMap((tag, place) => place ? [", ", isolated(tag)] : [isolated(tag)]);
}

function buttons(item, act) {
  const button = (name, action, label) =>
    make("button", { type: "button", click: () => act(action, item), "aria-label": `${label}: ${item.caption || item.clip_id}` }, name);
  const marking = item.error === null ? [
    button("Good", "good", "Mark good"), button("Bad", "bad", "Mark bad"),
    button("Correct", "correct", "Correct"), button("Withdraw", "withdrawn", "Withdraw the mark of"),
  ] : [];
  return [button("Play", "play", "Play"), ...marking, button("Clip", "details", "The evidence of the clip of")];
}

// A field under the row in which the caption is put right; `keep` is called with the text.
export function correcting(element, item, keep) {
  element.querySelector(".correction")?.remove();
  const field = make("input", { "aria-label": "The right caption", maxlength: 2000, autocomplete: "off" });
  field.value = item.mark?.corrected || item.caption;
  const close = () => { form.remove(); element.focus(); };
  const form = make("form", { class: "correction",
    submit: (event) => { event.preventDefault(); close(); keep(field.value); },
    keydown: (event) => { if (event.key === "Escape") close(); event.stopPropagation(); },
  }, field, make("button", {}, "Keep"));
  element.append(form);
  field.focus();
}

export function showDetails(element, clip) {
  const shown = element.querySelector(".details");
  if (shown) return shown.remove();
  const [start, end] = clip.stretch;
  const facts = [
    ["clip", clip.clip_id], ["error", clip.error], ["file", clip.place],
    ["segment", end === null ? null : `${fixed(start ?? 0, 2)} s to ${fixed(end, 2)} s`],
    ["level", clip.peak_dbfs === null ? null : `peak ${fixed(clip.peak_dbfs, 1)}, RMS ${fixed(clip.rms_dbfs, 1)} dBFS`],
    ["tags", clip.tags.map(tag).join("; ")], ["guidance", clip.guidance.join("; ")],
    ["written by", clip.methods.join(", ")],
    ["scorers agree", clip.agreement === null ? null : fixed(clip.agreement)],
  ];
  element.append(make("dl", { class: "details" }, ...facts.filter(([, fact]) => fact)
    .flatMap(([name, fact]) => [make("dt", {}, name), make("dd", {}, isolated(fact))])));
}

function tag([name, confidence, origin, score]) {
  const verified = score === null ? "" : `, CLAP ${fixed(score)}`;
  return `${name} (${origin} ${fixed(confidence, 2)}${verified})`;
}
