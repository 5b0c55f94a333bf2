/* Small behaviours of the hub's admin: copying, times that stay true, progress that moves, JSON that is checked,
   deeds that are posted. No dependency; works with htmx swaps through delegation. */
(function () {
  "use strict";

  // --- copy buttons
  document.addEventListener("click", function (event) {
    const button = event.target.closest(".hub-copy");
    if (!button) return;
    event.preventDefault();
    const block = button.hasAttribute("data-copy-block");
    const text = block ? button.closest("figure").querySelector("pre").textContent : button.dataset.copy;
    copy(text).then(function () {
      const icon = button.querySelector(".material-symbols-outlined");
      button.classList.add("hub-done");
      icon.textContent = "check";
      setTimeout(function () { button.classList.remove("hub-done"); icon.textContent = "content_copy"; }, 1500);
    });
  });

  function copy(text) {
    if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
    return new Promise(function (resolve) {
      const area = document.createElement("textarea");
      area.value = text;
      area.style.position = "fixed";
      area.style.opacity = "0";
      document.body.appendChild(area);
      area.select();
      document.execCommand("copy");
      area.remove();
      resolve();
    });
  }

  // --- “3 minutes ago”
  const UNITS = [[31536000, "year"], [2592000, "month"], [86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]];
  function since(seconds) {
    const size = Math.abs(seconds);
    if (size < 5) return "just now";
    for (const [length, name] of UNITS) {
      if (size >= length) {
        const n = Math.floor(size / length);
        const text = n + " " + name + (n === 1 ? "" : "s");
        return seconds >= 0 ? text + " ago" : "in " + text;
      }
    }
    return "just now";
  }
  function refreshTimes() {
    document.querySelectorAll("time.hub-ago").forEach(function (node) {
      const when = Date.parse(node.getAttribute("datetime"));
      if (!Number.isNaN(when)) node.textContent = since((Date.now() - when) / 1000);
    });
  }
  setInterval(refreshTimes, 20000);

  // --- progress bars
  function watch(bar) {
    let wait = 1000;
    async function look() {
      if (!bar.isConnected) return;
      if (document.hidden) { setTimeout(look, 1500); return; }
      let seen;
      try {
        const answer = await fetch(bar.dataset.progressUrl, { headers: { Accept: "application/json" }, credentials: "same-origin" });
        if (answer.status === 404 || answer.status === 403 || answer.redirected) return;
        if (!answer.ok) throw new Error(String(answer.status));
        seen = await answer.json();
      } catch (error) {
        wait = Math.min(wait * 2, 15000);
        setTimeout(look, wait);
        return;
      }
      wait = 1000;
      show(bar, seen);
      if (seen.active) setTimeout(look, 1200);
      else if (bar.hasAttribute("data-reload")) setTimeout(function () { location.reload(); }, 700);
    }
    setTimeout(look, 600);
  }
  function show(bar, seen) {
    const known = seen.percent !== null;
    bar.classList.toggle("hub-unknown", !known && seen.active);
    bar.dataset.status = seen.status || "";
    bar.querySelector(".hub-track i").style.width = (known ? seen.percent : 100) + "%";
    const track = bar.querySelector(".hub-track");
    if (known) track.setAttribute("aria-valuenow", seen.percent);
    bar.querySelector("b").textContent = known ? Math.round(seen.percent) + "%" : "…";
    bar.querySelector(".hub-progress-line span").textContent = seen.text;
    bar.querySelector("em").textContent = seen.pace;
    bar.querySelector("p").textContent = seen.note || "";
  }

  // --- samples: a text area shows the sample of what a select says, until somebody edits it
  function sampled(area) {
    const samples = JSON.parse(area.dataset.samples);
    const select = area.form.elements[area.dataset.samplesBy];
    let shown = "";
    function fill() {
      if (area.value !== shown) return;
      area.value = shown = samples[select.value] || "";
      area.dispatchEvent(new Event("input"));
    }
    select.addEventListener("change", fill);
    fill();
  }

  // --- JSON fields
  function guard(area) {
    const state = document.createElement("div");
    state.className = "hub-json-state";
    const says = document.createElement("span");
    const tidy = document.createElement("button");
    tidy.type = "button";
    tidy.className = "hub-button hub-small";
    tidy.textContent = "Tidy up";
    state.append(says, tidy);
    area.insertAdjacentElement("afterend", state);
    function check() {
      const text = area.value.trim();
      state.classList.remove("hub-wrong", "hub-right-json");
      tidy.hidden = true;
      if (!text) { says.textContent = ""; return; }
      try {
        const value = JSON.parse(text);
        says.textContent = "Valid JSON";
        state.classList.add("hub-right-json");
        tidy.hidden = JSON.stringify(value, null, 2) === text;
      } catch (error) {
        says.textContent = "Not valid JSON: " + error.message;
        state.classList.add("hub-wrong");
      }
    }
    tidy.addEventListener("click", function () {
      // Large integers would lose digits in JavaScript: then the text stays as it is.
      if (/[0-9]{16,}/.test(area.value)) { says.textContent = "Left as it is: it holds very long numbers."; return; }
      area.value = JSON.stringify(JSON.parse(area.value), null, 2);
      check();
    });
    area.addEventListener("input", check);
    area.addEventListener("keydown", function (event) {
      if (event.key === "Tab" && !event.shiftKey && area.selectionStart !== area.selectionEnd) {
        event.preventDefault();
        area.setRangeText("  ", area.selectionStart, area.selectionEnd, "end");
        check();
      }
    });
    check();
  }

  // --- deeds by POST
  document.addEventListener("click", function (event) {
    const link = event.target.closest("a[data-post]");
    if (!link) return;
    event.preventDefault();
    const token = document.querySelector("input[name=csrfmiddlewaretoken]");
    const form = document.createElement("form");
    form.method = "post";
    form.action = link.href;
    [["csrfmiddlewaretoken", token ? token.value : cookie("hub_csrf")], ["_confirmed", "1"], ["_back", location.pathname + location.search]]
      .forEach(function ([name, value]) {
        const input = document.createElement("input");
        input.type = "hidden";
        input.name = name;
        input.value = value;
        form.appendChild(input);
      });
    document.body.appendChild(form);
    form.submit();
  });
  function cookie(name) {
    const found = document.cookie.split("; ").find(function (part) { return part.startsWith(name + "="); });
    return found ? decodeURIComponent(found.slice(name.length + 1)) : "";
  }

  // --- one submit is enough
  document.addEventListener("submit", function (event) {
    const form = event.target;
    if (!form.hasAttribute("data-once")) return;
    form.querySelectorAll("button[type=submit]").forEach(function (button) {
      setTimeout(function () { button.disabled = true; }, 0);
    });
  });

  // --- suggestions for references: `data-options` holds the slug of the dataset that they come from
  let lists = 0;
  document.addEventListener("input", function (event) {
    const input = event.target;
    if (!input.matches || !input.matches("input[data-options]") || !input.dataset.options) return;
    let list = input.list;
    if (!list) {
      list = document.createElement("datalist");
      list.id = "hub-options-" + (lists += 1);
      document.body.appendChild(list);
      input.setAttribute("list", list.id);
    }
    clearTimeout(input.hubTimer);
    input.hubTimer = setTimeout(async function () {
      const address = "/admin/data/" + encodeURIComponent(input.dataset.options) + "/options/?q=" + encodeURIComponent(input.value);
      const answer = await fetch(address, { credentials: "same-origin" }).catch(function () { return null; });
      if (!answer || !answer.ok) return;
      const found = await answer.json();
      list.replaceChildren.apply(list, found.options.map(function (one) {
        const option = document.createElement("option");
        option.value = one.value;
        option.label = one.label ? one.value + " – " + one.label : one.value;
        return option;
      }));
    }, 200);
  });

  // --- menus close when one clicks elsewhere
  document.addEventListener("click", function (event) {
    document.querySelectorAll("details.hub-more[open]").forEach(function (menu) {
      if (!menu.contains(event.target)) menu.removeAttribute("open");
    });
  });

  document.addEventListener("change", function (event) {
    if (event.target.matches("select[data-go]") && event.target.value) location.href = event.target.value;
  });

  document.addEventListener("DOMContentLoaded", function () {
    document.querySelectorAll("[data-progress-url]").forEach(watch);
    document.querySelectorAll("textarea[data-json]").forEach(guard);
    document.querySelectorAll("textarea[data-samples]").forEach(sampled);
    refreshTimes();
    // The heads of number columns stand over their numbers.
    const first = document.querySelector("#result_list tbody tr.data-row");
    if (first) {
      const heads = document.querySelectorAll("#result_list thead th");
      Array.from(first.children).forEach(function (cell, n) {
        if (cell.querySelector(":scope > .hub-right, :scope > a > .hub-right, :scope > a.hub-right") && heads[n]) heads[n].classList.add("hub-th-right");
      });
    }
  });
})();
