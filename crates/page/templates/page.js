
"use strict";
const tip = document.getElementById("tip");
function showTip(text, x, y) {
  tip.textContent = text;
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  tip.style.left = Math.max(8, Math.min(x + 12, innerWidth - width - 8)) + "px";
  tip.style.top = (y + height + 24 > innerHeight ? y - height - 12 : y + 16) + "px";
}
addEventListener("pointermove", (event) => {
  const about = event.target.closest && event.target.closest("[data-about]");
  if (about) showTip(about.dataset.about, event.clientX, event.clientY);
  else tip.hidden = true;
});
addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });
