// Follows a running generation: moves the bar every second, and swaps in each better timetable without losing the place.
"use strict";

const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function refresh(main) {
  const page = await fetch(location.href, { cache: "no-store" });
  if (!page.ok) return main;
  const fresh = new DOMParser().parseFromString(await page.text(), "text/html").getElementById("content");
  main.replaceWith(fresh);
  return fresh;
}

async function follow(main) {
  while ("active" in main.dataset) {
    await wait(1000);
    try {
      const answer = await fetch(main.dataset.progress, { cache: "no-store" });
      if (!answer.ok) continue;
      const progress = await answer.json();
      if (progress.version !== main.dataset.version || !progress.active) {
        main = await refresh(main);
        continue;
      }
      main.querySelector(".message").textContent = progress.message;
      main.querySelector("progress").value = progress.share;
    } catch {
      // The server is restarting or the network is away: the next second may be better.
    }
  }
}

const main = document.querySelector("[data-progress]");
if (main) follow(main);
