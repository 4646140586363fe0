// The form of a policy: what `select` takes, with a threshold that can be moved.

import { make } from "./dom.js";

const RULES = [
  ["min_score", "score at least"],
  ["keep_top", "best share"],
  ["keep_top_by_tag", "best share of each tag"],
  ["none", "no threshold"],
];
const SCORES = [["clap", "CLAP score"], ["log_prob", "log-probability"], ["combined", "both, standardised"]];
const STEPS = 200;

const options = (pairs) => pairs.map(([value, text]) => make("option", { value }, text));

export class PolicyForm {
  // `onChange` is called when the policy is another; `form` is filled.
  constructor(form, policy, onChange) {
    this.span = { lowest: 0, highest: 1 };
    const change = () => { this.#limits(); onChange(); };
    this.score = make("select", { change }, ...options(SCORES));
    this.perClip = make("input", { type: "number", min: 1, max: 100, step: 1, change });
    this.rule = make("select", { change: () => { this.#begin(); change(); } }, ...options(RULES));
    this.slider = make("input", { type: "range", "aria-label": "Threshold", input: () => {
      this.at.value = this.slider.value;
      onChange();
    } });
    this.at = make("input", { type: "number", step: "any", "aria-label": "Threshold as a number",
      inputmode: "decimal", change: () => { this.slider.value = this.at.value; onChange(); } });
    form.addEventListener("submit", (event) => event.preventDefault());
    form.append(
      make("label", {}, "Score", this.score), make("label", {}, "Per clip", this.perClip),
      make("label", { class: "wide" }, "Keep", this.rule),
      make("div", { class: "threshold wide" }, this.slider, this.at));
    this.set(policy);
  }

  set(policy) {
    this.score.value = policy.score;
    this.perClip.value = policy.per_clip;
    const share = policy.within === "tag" ? "keep_top_by_tag" : "keep_top";
    this.rule.value = policy.min_score !== null ? "min_score" : policy.keep_top !== null ? share : "none";
    this.#limits();
    this.at.value = policy.min_score ?? policy.keep_top ?? "";
    this.slider.value = this.at.value;
  }

  get value() {
    const rule = this.rule.value;
    const at = this.at.value === "" ? null : Number(this.at.value);
    const share = at === null ? null : Math.min(1, Math.max(0.001, at));
    return {
      score: this.score.value,
      per_clip: Math.max(1, Math.round(Number(this.perClip.value) || 1)),
      min_score: rule === "min_score" ? at : null,
      keep_top: rule.startsWith("keep_top") ? share ?? 1 : null,
      within: rule === "keep_top_by_tag" ? "tag" : "all",
    };
  }

  // The scores between which the slider moves, as the server's answer tells them.
  spread({ lowest, highest, cutoff }) {
    const first = this.at.value === "" && this.rule.value === "min_score";
    this.span = { lowest, highest, cutoff };
    this.#limits();
    if (first) this.#begin();
  }

  step(direction) {
    if (this.slider.disabled) return false;
    this.slider.value = Number(this.slider.value) + direction * Number(this.slider.step);
    this.at.value = this.slider.value;
    return true;
  }

  // A rule newly chosen begins where the last one cut, or with all.
  #begin() {
    this.#limits();
    const scored = this.rule.value === "min_score";
    this.at.value = this.rule.value === "none" ? "" : scored ? this.span.cutoff ?? this.span.lowest : 1;
    this.slider.value = this.at.value;
  }

  #limits() {
    const scored = this.rule.value === "min_score";
    const [low, high] = scored ? [this.span.lowest, this.span.highest] : [0, 1];
    Object.assign(this.slider, { min: low, max: high, step: (high - low) / STEPS });
    this.slider.disabled = this.at.disabled = this.rule.value === "none";
    this.slider.value = this.at.value;
  }
}
