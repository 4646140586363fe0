"use strict";
// One sound at a time.
document.addEventListener("play", (event) => {
  for (const player of document.querySelectorAll("audio")) {
    if (player !== event.target) player.pause();
  }
}, true);
// Without a script all strata are shown, and there is nothing to choose.
const chosen = document.getElementById("stratum");
if (chosen) {
  chosen.parentElement.hidden = false;
  chosen.addEventListener("change", () => {
    for (const section of document.querySelectorAll("[data-stratum]")) {
      section.hidden = chosen.value !== "" && section.dataset.stratum !== chosen.value;
    }
  });
}
