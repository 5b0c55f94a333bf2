/* Rows of a form that are added, removed and moved: fields of a dataset, lines of a mapping. */
(function () {
  "use strict";

  document.addEventListener("DOMContentLoaded", function () {
    document.querySelectorAll("form[data-rows]").forEach(setUp);
  });

  function setUp(form) {
    const body = form.querySelector("[data-rows-body]");
    const empty = form.querySelector("[data-rows-empty]");
    const total = form.querySelector("input[name$=-TOTAL_FORMS]");

    form.addEventListener("click", function (event) {
      const button = event.target.closest("button");
      if (!button) return;
      const row = button.closest("[data-row]");
      if (button.hasAttribute("data-rows-add")) add();
      else if (button.hasAttribute("data-rows-remove")) remove(row);
      else if (button.hasAttribute("data-rows-up") && row.previousElementSibling) body.insertBefore(row, row.previousElementSibling);
      else if (button.hasAttribute("data-rows-down") && row.nextElementSibling) body.insertBefore(row.nextElementSibling, row);
      else return;
      form.dispatchEvent(new CustomEvent("rows:changed"));
    });

    function add() {
      const holder = document.createElement("template");
      holder.innerHTML = empty.innerHTML.replaceAll("__prefix__", total.value);
      total.value = String(Number(total.value) + 1);
      const row = holder.content.querySelector("[data-row]");
      body.appendChild(row);
      options(row);
      const first = row.querySelector("input[type=text], select");
      if (first) first.focus();
    }

    function remove(row) {
      const mark = row.querySelector("input[name$=-DELETE]");
      if (mark) mark.value = "on";
      row.hidden = true;
      row.querySelectorAll("input[type=radio]").forEach(function (radio) { radio.checked = false; });
    }

    // Only what applies to the chosen type is shown.
    function options(row) {
      const type = row.querySelector("select[name$=-type]");
      if (!type) return;
      row.querySelectorAll("[data-types]").forEach(function (input) {
        const holder = input.closest("[data-option]");
        if (holder) holder.hidden = !input.dataset.types.split(" ").includes(type.value);
      });
    }
    body.querySelectorAll("[data-row]").forEach(options);
    form.addEventListener("change", function (event) {
      if (event.target.matches("select[name$=-type]")) options(event.target.closest("[data-row]"));
    });

    // Names follow labels until one writes them by hand.
    if (form.hasAttribute("data-slugs")) {
      form.addEventListener("input", function (event) {
        const input = event.target;
        if (/(^|-)name$/.test(input.name) && input.closest("[data-row]")) input.dataset.own = "1";
        if (/-label$/.test(input.name)) follow(input, input.closest("[data-row]").querySelector("input[name$=-name]"));
        if (input.name === "name") follow(input, form.querySelector("input[name=slug]"));
        if (input.name === "slug") input.dataset.own = "1";
      });
      form.querySelectorAll("input[name$=-name], input[name=slug]").forEach(function (input) {
        if (input.value) input.dataset.own = "1";
      });
    }
    function follow(label, name) {
      if (!name || name.dataset.own) return;
      name.value = label.value.normalize("NFKD").replace(/[\u0300-\u036f]/g, "").toLowerCase()
        .replace(/[^a-z0-9]+/g, "_").replace(/^[^a-z]+|_+$/g, "").slice(0, 60);
    }

    form.addEventListener("submit", function () {
      let n = 0;
      body.querySelectorAll("[data-row]").forEach(function (row) {
        const order = row.querySelector("input[name$=-ORDER]");
        if (order) order.value = String(n += 1);
      });
    });
  }
})();
