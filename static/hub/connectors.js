/* The connection form: only what applies to the chosen authentication, pagination or schedule is shown. */
(function () {
  "use strict";

  function apply(scope) {
    scope.querySelectorAll("select[data-switch]").forEach(function (select) {
      if (select.closest("[data-switch-scope]") !== scope) return;
      scope.querySelectorAll("[data-for]").forEach(function (input) {
        if (input.closest("[data-switch-scope]") !== scope) return;
        const holder = input.closest("[data-holder]");
        if (holder) holder.hidden = !input.dataset.for.split(" ").includes(select.value);
      });
    });
  }

  function applyAll(root) {
    root.querySelectorAll("[data-switch-scope]").forEach(apply);
  }

  document.addEventListener("DOMContentLoaded", function () {
    document.querySelectorAll("form[data-switches]").forEach(function (form) {
      applyAll(form);
      form.addEventListener("change", function (event) {
        if (event.target.matches("select[data-switch]")) apply(event.target.closest("[data-switch-scope]"));
      });
      form.addEventListener("rows:changed", function () { applyAll(form); });
      // Somebody who connects a first system begins with a stream to fill in.
      const add = form.querySelector("[data-rows-add]");
      if (add && !form.querySelector("[data-rows-body] [data-row]")) {
        add.click();
        const name = form.querySelector("input[name=name]");
        if (name) name.focus();
      }
    });
  });
})();
