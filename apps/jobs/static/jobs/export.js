/* The export's page: the preview follows the form, columns are dragged. */
(function () {
  "use strict";

  document.addEventListener("DOMContentLoaded", function () {
    document.querySelectorAll("form[data-jobs-export]").forEach(function (form) {
      follow(form);
      const body = form.querySelector("[data-columns]");
      if (body) drag(form, body);
    });
  });

  function follow(form) {
    const place = form.querySelector("[data-preview]");
    let timer = 0, asked = 0;
    form.addEventListener("input", later);
    form.addEventListener("change", later);

    function later() {
      clearTimeout(timer);
      timer = setTimeout(ask, 450);
    }
    async function ask() {
      const mine = ++asked;
      const data = new FormData(form);
      data.delete("password");
      place.setAttribute("aria-busy", "true");
      try {
        const answer = await fetch(form.dataset.jobsExport, { method: "POST", body: data, credentials: "same-origin" });
        if (mine === asked && answer.ok) place.innerHTML = await answer.text();
      } catch (error) {
        // Without an answer the last preview stays; ordering works all the same.
      } finally {
        if (mine === asked) place.removeAttribute("aria-busy");
      }
    }
    if (!place.querySelector("table, .hub-notice")) ask();
  }

  function drag(form, body) {
    let held = null;
    body.addEventListener("dragstart", function (event) {
      held = event.target.closest("tr");
      event.dataTransfer.effectAllowed = "move";
      event.dataTransfer.setData("text/plain", "");
    });
    body.addEventListener("dragover", function (event) {
      const over = event.target.closest("tr");
      if (!held || !over || over === held) return;
      event.preventDefault();
      const box = over.getBoundingClientRect();
      body.insertBefore(held, event.clientY < box.top + box.height / 2 ? over : over.nextSibling);
    });
    body.addEventListener("drop", function (event) { event.preventDefault(); });
    body.addEventListener("dragend", function () {
      held = null;
      body.querySelectorAll(".jobs-place").forEach(function (input, n) { input.value = n + 1; });
      form.dispatchEvent(new Event("change"));
    });
  }
})();
