// The page: one state, from which every question is made; answers are drawn, marks are sent.

import { fetchSound, latest, request } from "./requests.js";
import { curve, histogram } from "./chart.js";
import { $, fixed, isolated, make, precision, whole } from "./dom.js";
import { PolicyForm } from "./policy.js";
import { REASONS, correcting, showDetails, row, update } from "./rows.js";

const LIMIT = 50;
const FILTERS = ["text", "tag", "outcome", "marked", "lowest", "highest", "compared", "sort"];
const state = {
  clips: 0, captions: 0, second: null, offset: 0, total: 0, items: [], current: 0, cutoff: null,
};
let first, second;

const number = (id) => ($(id).value === "" ? null : Number($(id).value));
const sampling = () => $("sort").value === "sample";
const other = () => ($("compare").checked ? second.value : null);
const showMessage = (text) => { $("message").textContent = text; };
const element = (place = state.current) => $("rows").children[place];

function fault(error) {
  $("fault").textContent = error.message;
  $("fault").hidden = false;
}

function question() {
  const outcome = $("outcome").value;
  const error = outcome.startsWith("error ") ? Number(outcome.slice(6)) : null;
  return {
    filter: {
      text: $("text").value, tags: $("tag").value === "" ? [] : [Number($("tag").value)],
      score: first.value.score, lowest: number("lowest"), highest: number("highest"),
      outcome: error === null && outcome ? outcome : null, error,
      marked: $("marked").value, compared: other() ? $("compared").value : "all",
    },
    policy: first.value, other: other(), sort: $("sort").value, offset: state.offset, limit: LIMIT,
  };
}

const askView = latest("/api/view", drawRows, fault);
const askYield = latest("/api/yield", drawYield, fault);
const askCurve = latest("/api/curve", drawCurve, fault);

function list(offset = 0) {
  state.offset = offset;
  return askView(question());
}

function all() {
  const policy = first.value;
  list();
  askYield({ policy, other: other() });
  askCurve({ policy });
}

function drawRows(answer) {
  state.items = answer.rows;
  state.total = sampling() ? null : answer.total;
  $("rows").replaceChildren(...answer.rows.map((item) => row(item, act)));
  $("sample-note").hidden = !sampling();
  const { accepted } = answer.reasons;
  const to = state.offset + answer.rows.length;
  $("shown").textContent = sampling() ? `${whole(answer.rows.length)} captions of the sample, to mark`
    : answer.total ? `${whole(state.offset + 1)} to ${whole(to)} of ${whole(answer.total)}, ${whole(accepted)} of them accepted`
    : "nothing is like this";
  $("earlier").disabled = state.offset === 0;
  $("later").disabled = sampling() ? !answer.rows.length : to >= answer.total;
  choose(0, false);
}

function entries(outcome) {
  const { accepted, below_second_threshold, no_caption } = outcome.reasons;
  return [
    ["accepted", `${whole(accepted)} of ${whole(state.captions)} captions`],
    ...(state.second ? [["second scorer", `${whole(below_second_threshold)} below its threshold`]] : []),
    ["of clips", `${whole(outcome.clips)} of ${whole(state.clips)}, ${whole(no_caption)} have no caption`],
    ["precision", precision(outcome.precision)],
  ];
}

const facts = (pairs) => pairs.flatMap(([name, fact]) => [make("dt", {}, name), make("dd", {}, fact)]);

function drawYield(answer) {
  state.cutoff = answer.first.cutoff;
  first.spread(answer.first);
  $("yield").replaceChildren(...facts(entries(answer.first)));
  $("histogram").replaceChildren(histogram(answer.first));
  if (!answer.second) return;
  second.spread(answer.second);
  $("second-yield").replaceChildren(...facts(entries(answer.second)));
  const names = { both: "both", only_first: "the first only", only_second: "the second only" };
  $("overlap").tBodies[0].replaceChildren(...Object.entries(answer.overlap).map(([name, part]) =>
    make("tr", {}, make("th", { scope: "row" }, names[name]), make("td", {}, whole(part.captions)),
      make("td", {}, precision(part.precision)))));
}

function drawCurve(answer) {
  $("curve").replaceChildren(curve(answer, state.cutoff));
  const { marked } = answer.points[0];
  $("curve-note").textContent = answer.sampled
    ? `by ${whole(marked)} of ${whole(answer.sampled)} marks of the sample: those of captions among each clip's best`
    : "Mark captions in the order “sample to mark”, and it appears here.";
}

function choose(place, focus = true) {
  const chosen = element(place);
  if (!chosen) return;
  element()?.removeAttribute("aria-current");
  element()?.setAttribute("tabindex", -1);
  state.current = place;
  chosen.setAttribute("aria-current", "true");
  chosen.setAttribute("tabindex", 0);
  if (focus) {
    chosen.focus({ preventScroll: true });
    chosen.scrollIntoView({ block: "nearest" });
  }
}

async function act(action, item) {
  const place = state.items.indexOf(item);
  choose(place);
  try {
    if (action === "play") await play(item);
    else if (action === "details") await toggleDetails(element(place), item);
    else if (item.error !== null) showMessage("there is no caption to mark");
    else if (action === "correct") correcting(element(place), item, (text) => mark(item, "corrected", text));
    else await mark(item, action);
  } catch (error) {
    fault(error);
  }
}

async function toggleDetails(shown, item) {
  showDetails(shown, await request(`/api/clips/${item.clip}`));
}

async function play(item) {
  const player = $("player");
  if (player.dataset.clip === String(item.clip)) {
    return player.paused ? player.play() : player.pause();
  }
  $("playing").textContent = "…";
  const blob = await fetchSound(item.clip);
  URL.revokeObjectURL(player.src);
  player.src = URL.createObjectURL(blob);
  player.dataset.clip = item.clip;
  $("playing").replaceChildren(isolated(item.clip_id));
  await player.play();
}

async function mark(item, verdict, corrected = null) {
  const shown = element(state.items.indexOf(item));
  const sampled = sampling();
  let answer;
  try {
    answer = await request("/api/mark", { entry: item.entry, verdict, corrected, sampled });
  } catch (error) {
    return fault(error);
  }
  item.mark = answer.mark;
  if (shown) update(shown, item);
  showMessage(`${verdict}: ${item.caption}`);
  askYield({ policy: first.value, other: other() });
  askCurve({ policy: first.value });
  if (verdict === "withdrawn") return;
  const next = state.items.indexOf(item) + 1;
  if (next < state.items.length) choose(next);
  else if (sampling()) list().then(() => choose(0));
}

let moving;
function moved() {
  clearTimeout(moving);
  moving = setTimeout(all, 40);
}

const pages = {
  n: () => $("later").disabled || list(sampling() ? 0 : state.offset + LIMIT).then(() => choose(0)),
  p: () => $("earlier").disabled || list(Math.max(0, state.offset - LIMIT)).then(() => choose(0)),
};
const keys = {
  ...pages,
  j: () => choose(state.current + 1), ArrowDown: () => choose(state.current + 1),
  k: () => choose(state.current - 1), ArrowUp: () => choose(state.current - 1),
  "[": () => first.step(-1) && moved(), "]": () => first.step(1) && moved(),
  s: () => { $("sort").value = "sample"; list().then(() => choose(0)); },
  "/": () => $("text").focus(),
  "?": () => $("help").showModal(),
};
const acts = { " ": "play", g: "good", b: "bad", c: "correct", u: "withdrawn", i: "details" };

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, select, textarea, audio, dialog");
  const pressing = event.key === " " && event.target.closest("button");
  if (event.ctrlKey || event.metaKey || event.altKey || pressing) return;
  if (typing) {
    if (event.key === "Escape" && !event.target.closest("dialog")) choose(state.current);
    return;
  }
  const item = state.items[state.current];
  if (keys[event.key]) keys[event.key]();
  else if (acts[event.key] && item) act(acts[event.key], item);
  else return;
  event.preventDefault();
});

async function begin() {
  const about = await request("/api/about");
  Object.assign(state, { clips: about.clips, captions: about.captions, second: about.second });
  $("run-name").textContent = about.run;
  $("run-size").textContent = ` · ${whole(about.clips)} clips, ${whole(about.captions)} captions; marks by ${about.marker}`;
  $("tag").append(...about.tags.map(([tag, name, count]) => make("option", { value: tag }, `${name} (${whole(count)})`)));
  Object.assign(REASONS, about.reasons);
  const outcomes = Object.entries(REASONS).filter(([name]) => about.second || name !== "below_second_threshold");
  $("outcome").append(...outcomes.map(([value, text]) => make("option", { value }, text)));
  $("outcome").append(...about.errors.map((kind, place) => make("option", { value: `error ${place}` }, `error ${kind}`)));
  first = new PolicyForm($("first"), about.policy, about, moved);
  second = new PolicyForm($("second"), about.policy, about, moved);
  for (const id of FILTERS) $(id).addEventListener("input", () => list());
  $("filter").addEventListener("submit", (event) => event.preventDefault());
  $("compare").addEventListener("change", () => {
    $("comparison").hidden = $("compared-label").hidden = !$("compare").checked;
    all();
  });
  $("earlier").addEventListener("click", pages.p);
  $("later").addEventListener("click", pages.n);
  $("help-button").addEventListener("click", keys["?"]);
  $("rows").addEventListener("focusin", (event) => {
    const place = [...$("rows").children].indexOf(event.target.closest("li"));
    if (place !== state.current) choose(place, false);
  });
  all();
}

begin().catch(fault);
