// The next runs of a schedule, shown while its form is filled in.
(function () {
  "use strict";

  document.addEventListener("DOMContentLoaded", function () {
    const card = document.querySelector("[data-schedule-next]");
    if (!card) return;
    const names = ["schedule_type", "run_at", "interval_count", "interval_unit", "crontab"];
    const fields = names.map(function (name) { return document.getElementById("id_" + name); });
    const list = card.querySelector("[data-next-times]");
    const error = card.querySelector("[data-next-error]");
    let asked = 0;

    async function show() {
      const mine = ++asked;
      const query = new URLSearchParams();
      fields.forEach(function (field, n) { if (field) query.set(names[n], field.value); });
      let said;
      try {
        const answer = await fetch(card.dataset.scheduleNext + "?" + query, {
          credentials: "same-origin", headers: { Accept: "application/json" },
        });
        if (!answer.ok) return;
        said = await answer.json();
      } catch (problem) { return; }
      if (mine !== asked) return;
      list.replaceChildren.apply(list, said.times.map(function (time) {
        const item = document.createElement("li");
        item.textContent = time;
        return item;
      }));
      error.textContent = said.error;
      error.hidden = !said.error;
    }

    let timer;
    fields.forEach(function (field) {
      if (!field) return;
      ["input", "change"].forEach(function (kind) {
        field.addEventListener(kind, function () { clearTimeout(timer); timer = setTimeout(show, 250); });
      });
    });
    show();

    // A part of the form of which nothing applies is not shown at all.
    function tidy() {
      document.querySelectorAll("#jobschedule_form fieldset").forEach(function (part) {
        part.style.display = "";
        const inputs = Array.from(part.querySelectorAll("input, select, textarea"));
        const some = inputs.some(function (one) { return one.offsetParent !== null; });
        part.style.display = inputs.length && !some ? "none" : "";
      });
    }
    const kind = document.getElementById("id_job_type");
    if (kind) kind.addEventListener("change", function () { setTimeout(tidy, 50); });
    setTimeout(tidy, 300);
  });
})();
