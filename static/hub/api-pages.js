// On phones the contents begin closed; code blocks get a button to copy them.
"use strict";

(() => {
  const side = document.querySelector(".api-side details");
  if (side && window.matchMedia("(max-width: 60rem)").matches) side.open = false;
  document.querySelectorAll(".api-guide pre").forEach((block) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "api-copy";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(block.querySelector("code").textContent);
        button.textContent = "Copied";
      } catch {
        button.textContent = "Press Ctrl-C";
        getSelection().selectAllChildren(block.querySelector("code"));
      }
      setTimeout(() => (button.textContent = "Copy"), 2000);
    });
    const frame = document.createElement("div");
    frame.className = "api-code";
    block.replaceWith(frame);
    frame.append(block, button);
  });
})();
