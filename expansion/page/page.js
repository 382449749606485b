// Licensed under the Apache License, Version 2.0; see LICENSE.
"use strict";
(() => {
  const of = (id) => document.getElementById(id);
  const cards = [...document.querySelectorAll(".card")];

  // Search: all words have to be in what a card says.
  const search = () => {
    const words = of("query").value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const card of cards) {
      card.hidden = !words.every((word) => card.dataset.words.includes(word));
      shown += card.hidden ? 0 : 1;
    }
    for (const section of document.querySelectorAll("main > section")) {
      section.hidden = words.length > 0 && !section.querySelector(".card:not([hidden])");
    }
    of("nothing").hidden = shown > 0 || words.length === 0;
    of("found").textContent = words.length ? `${shown} of ${cards.length}` : "";
  };
  of("search").hidden = false;
  of("query").addEventListener("input", search);
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input, textarea");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      of("query").focus();
    } else if (event.key === "Escape" && event.target === of("query")) {
      of("query").value = "";
      search();
    }
  });

  // Links into the catalogue open what they lead to.
  const openTarget = () => {
    const card = of(decodeURIComponent(location.hash.slice(1)));
    if (card && card.matches(".card")) {
      card.hidden = card.parentElement.hidden = false;
      card.open = true;
      card.scrollIntoView();
    }
  };
  window.addEventListener("hashchange", openTarget);
  openTarget();

  // Without encryption, beyond localhost, browsers have no clipboard: then the text is selected and copied as of old.
  const copied = async (element) => {
    try {
      await navigator.clipboard.writeText(element.textContent);
      return true;
    } catch {
      getSelection().selectAllChildren(element);
      return document.execCommand("copy");
    }
  };
  for (const button of document.querySelectorAll(".copy")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const done = await copied(button.parentElement.querySelector("code"));
      button.textContent = done ? "Copied" : "Press Ctrl+C";
      setTimeout(() => (button.textContent = "Copy"), 2000);
    });
  }

  // A language that was chosen once is shown everywhere.
  for (const tab of document.querySelectorAll(".tab")) {
    tab.addEventListener("change", () => {
      const language = tab.id.split("-").pop();
      for (const other of document.querySelectorAll(`.tab[id$="-${language}"]`)) other.checked = true;
    });
  }

  const look = async () => {
    let state = "down";
    let text = "does not answer";
    try {
      const reply = await fetch("/readyz", { cache: "no-store", signal: AbortSignal.timeout(4000) });
      state = reply.ok ? "up" : "draining";
      text = reply.ok ? "ready" : "stopping: takes no calls";
    } catch {
      // It is down, or the network is.
    }
    of("health").dataset.state = state;
    if (of("health-text").textContent !== text) of("health-text").textContent = text;
  };
  look();
  setInterval(() => document.hidden || look(), 5000);
})();
