// The form of a policy: what `select` takes of a run's scores, with thresholds that can be moved.

import { make } from "./dom.js";

const RULES = [
  ["min_score", "score at least"],
  ["top_fraction", "best share"],
  ["top_fraction_by_tag", "best share of each tag"],
  ["none", "no threshold"],
];
const STEPS = 200;

const options = (pairs) => pairs.map(([value, text]) => make("option", { value }, text));

// A slider, and beside it its number; where that is empty there is no threshold.
class Threshold {
  constructor(name, onChange) {
    this.slider = make("input", { type: "range", "aria-label": name, input: () => {
      this.at.value = this.slider.value;
      onChange();
    } });
    this.at = make("input", { type: "number", step: "any", "aria-label": `${name} as a number`,
      inputmode: "decimal", change: () => { this.#follow(); onChange(); } });
    this.parts = make("div", { class: "threshold wide" }, this.slider, this.at);
  }

  get value() {
    return this.at.value === "" ? null : Number(this.at.value);
  }

  set value(value) {
    this.at.value = value ?? "";
    this.#follow();
  }

  set disabled(disabled) {
    this.slider.disabled = this.at.disabled = disabled;
  }

  between(lowest, highest) {
    Object.assign(this.slider, { min: lowest, max: highest, step: (highest - lowest) / STEPS });
    this.#follow();
  }

  step(direction) {
    if (this.slider.disabled) return false;
    this.slider.value = Number(this.slider.value) + direction * Number(this.slider.step);
    this.at.value = this.slider.value;
    return true;
  }

  #follow() {
    this.slider.value = this.value ?? this.slider.min;
  }
}

export class PolicyForm {
  // `form` is filled. `scores` are the labels of those that the run has, `second` the lowest and highest of its
  // second scorer, null where it has none. `onChange` is called when the policy is another.
  constructor(form, policy, { scores, second }, onChange) {
    this.span = { lowest: 0, highest: 1 };
    const change = () => { this.#limits(); onChange(); };
    this.score = make("select", { change }, ...options(Object.entries(scores)));
    this.perClip = make("input", { type: "number", min: 1, max: 100, step: 1, change });
    this.rule = make("select", { change: () => { this.#begin(); change(); } }, ...options(RULES));
    this.threshold = new Threshold("Threshold", onChange);
    this.second = second && new Threshold("Second scorer's threshold", onChange);
    this.second?.between(second.lowest, second.highest);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.append(
      make("label", {}, "Score", this.score), make("label", {}, "Per clip", this.perClip),
      make("label", { class: "wide" }, "Keep", this.rule), this.threshold.parts,
      ...(second ? [make("p", { class: "note wide" }, "Second scorer at least; empty: not applied"),
        this.second.parts] : []));
    this.#set(policy, scores);
  }

  get value() {
    const rule = this.rule.value;
    const at = this.threshold.value;
    const share = at === null ? null : Math.min(1, Math.max(0.001, at));
    return {
      score: this.score.value,
      max_per_clip: Math.max(1, Math.round(Number(this.perClip.value) || 1)),
      min_score: rule === "min_score" ? at : null,
      min_second_score: this.second ? this.second.value : null,
      top_fraction: rule.startsWith("top_fraction") ? share ?? 1 : null,
      stratify_by: rule === "top_fraction_by_tag" ? "tag" : null,
    };
  }

  // The scores between which the slider moves, as the server's answer tells them.
  spread({ lowest, highest, cutoff }) {
    const first = this.threshold.value === null && this.rule.value === "min_score";
    this.span = { lowest, highest, cutoff };
    this.#limits();
    if (first) this.#begin();
  }

  step(direction) {
    return this.threshold.step(direction);
  }

  #set(policy, scores) {
    this.score.value = policy.score in scores ? policy.score : Object.keys(scores)[0];
    this.perClip.value = policy.max_per_clip;
    const share = policy.stratify_by === "tag" ? "top_fraction_by_tag" : "top_fraction";
    this.rule.value = policy.min_score !== null ? "min_score" : policy.top_fraction !== null ? share : "none";
    this.#limits();
    this.threshold.value = policy.min_score ?? policy.top_fraction;
    if (this.second) this.second.value = policy.min_second_score;
  }

  // A rule newly chosen begins where the last one cut, or with all.
  #begin() {
    this.#limits();
    const scored = this.rule.value === "min_score";
    this.threshold.value = this.rule.value === "none" ? null : scored ? this.span.cutoff ?? this.span.lowest : 1;
  }

  #limits() {
    const scored = this.rule.value === "min_score";
    this.threshold.between(...(scored ? [this.span.lowest, this.span.highest] : [0, 1]));
    this.threshold.disabled = this.rule.value === "none";
  }
}
