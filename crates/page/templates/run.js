
function showMoment(run, percent) {
  for (const cursor of run.querySelectorAll(".cursor")) {
    cursor.hidden = percent === null;
    if (percent !== null) cursor.style.left = percent + "%";
  }
}
for (const run of document.querySelectorAll(".run")) {
  for (const plot of run.querySelectorAll(".plot")) {
    plot.addEventListener("pointermove", (event) => {
      const { left, width } = plot.getBoundingClientRect();
      showMoment(run, (event.clientX - left) * 100 / width);
    });
    plot.addEventListener("pointerleave", () => showMoment(run, null));
  }
  for (const line of run.querySelectorAll(".story li")) {
    const show = () => showMoment(run, Number(line.dataset.at));
    line.addEventListener("focus", show);
    line.addEventListener("pointerenter", show);
    line.addEventListener("blur", () => showMoment(run, null));
    line.addEventListener("pointerleave", () => showMoment(run, null));
  }
}
