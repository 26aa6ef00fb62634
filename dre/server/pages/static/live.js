// A page that is shown, kept up to date: it listens to the live stream and asks this server for the same page again.
//
// What a page looks like is decided in one place, by the server's templates. Nothing that the stream says is ever
// marked up: it says that something happened, and what a running command prints becomes text.
"use strict";

(() => {
  const main = document.getElementById("main");
  const state = document.getElementById("live");
  const waiting = document.getElementById("waiting");
  const operation = main.dataset.operation;
  const title = document.title;
  const FIRST_PAUSE_MS = 500, LONGEST_PAUSE_MS = 15000;
  const LONGEST_SILENCE_MS = 45000; // the server says every 15 s that it is there; a sleeping machine hears nothing
  const BETWEEN_MS = 500; // from one look at the page to the next
  const AGES_MS = 60000;
  const MOST_PAGES = 5; // of the list, at one look
  const MOST_CHARACTERS = 200000; // of output that arrives

  // Only what this server has rendered goes through here: `load` is the one caller.
  const policy = window.trustedTypes?.createPolicy("dre", { createHTML: (page) => page });

  let position = Number(main.dataset.position);
  let generation = Number(main.dataset.generation);
  let pause = FIRST_PAUSE_MS;
  let isOver = false;

  function say(word, kind) {
    if (state.textContent !== word) state.textContent = word;
    state.className = kind;
    state.hidden = false;
  }

  // ---- the stream

  function connect() {
    const socket = new WebSocket(`ws${location.protocol.slice(4)}//${location.host}/api/v1/stream`);
    let silence;
    const end = () => {
      clearTimeout(silence);
      socket.onmessage = socket.onclose = null;
      socket.close();
      again();
    };
    const listen = () => {
      clearTimeout(silence);
      silence = setTimeout(end, LONGEST_SILENCE_MS);
    };
    socket.onopen = () => subscribe(socket);
    socket.onmessage = (event) => {
      listen();
      take(JSON.parse(event.data), socket);
    };
    socket.onclose = end;
    listen();
  }

  function subscribe(socket) {
    const wanted = operation
      ? { channels: ["operations", "evidence", "verification", "logs"], operations: [operation] }
      : { types: ["operation.started", "operation.completed", "operation.interrupted", "verification.complete"] };
    const from = position === null ? {} : { after: position, generation };
    socket.send(JSON.stringify({ type: "subscribe", ...wanted, ...from }));
  }

  function take(message, socket) {
    if (Number.isInteger(message.position)) position = message.position;
    switch (message.type) {
      case "subscribed":
        pause = FIRST_PAUSE_MS;
        generation = message.generation;
        if (position === null) position = message.head.position;
        say("live", "live");
        catchUp();
        break;
      case "heartbeat":
      case "cut":
        break;
      case "error": // the history that this page was made from is not there any more
        if (position === null) break;
        position = null;
        subscribe(socket);
        refresh();
        break;
      case "operation.output":
        arrive(message.data);
        break;
      default:
        refresh();
    }
  }

  async function again() {
    if (isOver) return;
    say("reconnecting", "");
    await after(pause * (0.5 + Math.random()));
    pause = Math.min(2 * pause, LONGEST_PAUSE_MS);
    await refresh(); // a socket does not say why it was refused: this does
    if (!isOver) connect();
  }

  function over() {
    isOver = true;
    say("session over: reload", "over");
  }

  // ---- the page

  let asked = false;
  let looking = null;
  let looks = 0;

  // Looks again soon; whatever happens meanwhile is one more look, not many.
  function refresh() {
    asked = true;
    looking ??= look().finally(() => (looking = null));
    return looking;
  }

  async function look() {
    while (asked && !isOver) {
      if (document.hidden) return; // `visibilitychange` goes on
      asked = false;
      looks += 1;
      const page = await load();
      if (page && operation) showOperation(page);
      else if (page) showList(await withOlder(page));
      await after(BETWEEN_MS);
    }
  }

  async function load(address = location.href) {
    try {
      const answer = await fetch(address, { headers: { Accept: "text/html" }, cache: "no-store" });
      if (answer.status === 401 || answer.status === 421) return over(); // 421: a new server, which has a new name
      if (!answer.ok) return null;
      const page = await answer.text();
      return new DOMParser().parseFromString(policy ? policy.createHTML(page) : page, "text/html");
    } catch {
      return null; // the stream's end says so too, and comes back
    }
  }

  // What a reader has opened stays open, and what arrives stays where it is, unless the server knows more of it.
  const keeping = {
    beforeAttributeUpdated: (name, node) => !(name === "open" && node.localName === "details"),
    beforeNodeMorphed: (node, fresh) => node.id !== "arriving" || fresh.id !== "arriving" || isReplaced(node, fresh),
  };

  function showOperation(page) {
    const fresh = page.getElementById("main");
    const arriving = document.getElementById("arriving");
    const wasAtEnd = isAtEnd(arriving);
    const reader = document.activeElement;
    const place = reader.getBoundingClientRect();
    Idiomorph.morph(main, [...fresh.childNodes], { morphStyle: "innerHTML", callbacks: keeping });
    if (document.title !== page.title) announce(page.title);
    if (early) goOn(wasAtEnd);
    if (arriving && !arriving.isConnected) stay(reader, place, arriving, wasAtEnd);
  }

  // A title begins with how it ended, or with its verdict. Who does not see the page change hears this.
  function announce(ended) {
    document.title = document.getElementById("ended").textContent = ended;
  }

  // What arrived has made way for what was recorded: who read it goes on there, and where somebody reads does not move.
  function stay(reader, place, arriving, wasAtEnd) {
    const whole = main.querySelector("section[aria-labelledby=output] .output");
    if (whole && wasAtEnd) whole.scrollTop = whole.scrollHeight;
    if (reader === arriving) {
      reader = whole ?? main;
      reader.focus({ preventScroll: true });
    }
    const wasSeen = place.bottom > 0 && place.top < innerHeight;
    if (reader !== document.body && wasSeen) scrollBy(0, reader.getBoundingClientRect().top - place.top);
  }

  // Rows that are there change where they are; new ones wait, so that nothing moves while somebody reads.
  let fresh = null;

  function showList(pages) {
    const shown = document.getElementById("operations");
    const [newest, ...older] = pages.map((page) => [...page.getElementById("operations").children]);
    fresh = pages[0].getElementById("list");
    if (shown.children.length === 0) return showFresh();
    const rows = [...newest, ...older.flat()];
    for (const row of rows) {
      const known = document.getElementById(row.id);
      if (known) Idiomorph.morph(known, row);
    }
    const oldest = following(pages.at(-1)) ? Number(rows.at(-1).dataset.at) : 0;
    const ids = new Set(rows.map((row) => row.id));
    for (const row of shown.children) row.classList.toggle("gone", !ids.has(row.id) && Number(row.dataset.at) > oldest);
    count(newest.filter((row) => !document.getElementById(row.id)).length, newest.length);
  }

  // What became of a command that ran while many others began is said on an older page by now.
  async function withOlder(page) {
    const pages = [page];
    while (pages.length < MOST_PAGES && isAnyAwaited(pages)) {
      const address = following(pages.at(-1));
      const older = address && (await load(address));
      if (!older) break;
      pages.push(older);
    }
    return pages;
  }

  function isAnyAwaited(pages) {
    const running = [...document.querySelectorAll("#operations > :not(.gone):has(.running)")];
    return running.some((row) => !pages.some((page) => page.getElementById(row.id)));
  }

  const following = (page) => page.querySelector("#list a[rel=next]")?.getAttribute("href");

  function count(number, most) {
    waiting.hidden = number === 0;
    waiting.textContent = `${number}${number && number === most ? "+" : ""} new`;
    document.title = number ? `(${number}) ${title}` : title;
  }

  function showFresh() {
    const known = new Set([...document.getElementById("operations").children].map((row) => row.id));
    Idiomorph.morph(document.getElementById("list"), fresh, { morphStyle: "outerHTML" });
    count(0, 0);
    return [...document.getElementById("operations").children].find((row) => !known.has(row.id));
  }

  waiting?.addEventListener("click", () => {
    const first = showFresh();
    window.scrollTo(0, 0);
    first?.querySelector("a").focus({ preventScroll: true });
  });

  // ---- output as it arrives

  // As everywhere (dre/documentation/safe.py): only colours are dropped, and whatever else a terminal would obey is shown.
  const COLOURS = /\x1b\[[0-9;:]{0,64}[mK]/g;
  const BEGUN_COLOUR = /\x1b(?:\[[0-9;:]{0,64})?$/;
  const OBEYED =
    /[\0-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu;
  const held = {}; // of each output: a colour that a piece ends in, and half of a line's end

  function readable(output, piece) {
    const before = held[output] ?? { begun: "", half: "" };
    const whole = before.begun + piece;
    const begun = BEGUN_COLOUR.exec(whole)?.[0] ?? "";
    const text = before.half + whole.slice(0, whole.length - begun.length).replace(COLOURS, "");
    const half = text.endsWith("\r") ? "\r" : "";
    held[output] = { begun, half };
    return text.slice(0, text.length - half.length).replaceAll("\r\n", "\n").replace(OBEYED, visible);
  }

  function visible(character) {
    const code = character.codePointAt(0);
    if (code < 0x20) return String.fromCodePoint(0x2400 + code);
    return code === 0x7f ? "␡" : `<U+${code.toString(16).toUpperCase().padStart(4, "0")}>`;
  }

  const bytes = new TextEncoder();

  // The page holds what was told before it was made; what is told twice, as after a new connection, is shown once.
  // Nobody tells what passed between the making of this page and its first word to the stream, or while there was no
  // connection: a page made now holds that, and what came too early waits for it.
  let early = null;
  let earlyLength = 0;

  function arrive(message) {
    const shown = document.getElementById("arriving");
    if (!shown || message.operationId !== operation || message.offset < known(shown, message)) return;
    if (early || message.offset > known(shown, message)) wait(message);
    else append(shown, message);
  }

  const known = (shown, { output }) => Number(shown.dataset[output] ?? 0);

  function catchUp() {
    if (!document.getElementById("arriving")) return;
    early ??= [];
    refresh();
  }

  function wait(message) {
    early ??= [];
    early.push({ ...message, looks });
    earlyLength += message.text.length;
    while (earlyLength > MOST_CHARACTERS) earlyLength -= early.shift().text.length; // the page will hold it
    refresh();
  }

  // Never by less: a server keeps the newest part of some commands, and may have forgotten this one.
  function isReplaced(shown, fresh) {
    if (!early || ["stdout", "stderr"].some((output) => known(fresh, { output }) < known(shown, { output }))) return false;
    for (const output in held) delete held[output]; // the new page has both halves
    printed = ""; // and this
    return true;
  }

  // The page that is shown now was made after everything that came before it was asked for.
  function goOn(isAtEnd) {
    const waited = early;
    early = null;
    earlyLength = 0;
    const shown = document.getElementById("arriving");
    if (!shown) return;
    for (const message of waited) {
      const isMissing = message.offset > known(shown, message);
      if (isMissing && message.looks < looks && !early) {
        print("… something is missing here; it is shown when the command has ended\n");
        append(shown, message);
      } else arrive(message);
    }
    if (isAtEnd) shown.scrollTop = shown.scrollHeight;
  }

  function append(shown, { output, offset, text, ends }) {
    if (text) print(readable(output, text));
    if (ends === "too much" && shown.dataset.ends !== ends) {
      print("… the rest is shown when the command has ended\n");
      shown.dataset.ends = ends; // the page may say so already
    }
    shown.dataset[output] = offset + bytes.encode(text).length;
  }

  // Once for each frame: to lay out a long text for each message of a fast command is more than a browser can do.
  let printed = "";
  let frame = null;

  function print(text) {
    printed = (printed + text).slice(-MOST_CHARACTERS);
    frame ??= requestAnimationFrame(draw);
  }

  function draw() {
    const shown = document.getElementById("arriving");
    const text = printed;
    printed = "";
    frame = null;
    if (!shown || !text) return;
    const wasAtEnd = isAtEnd(shown);
    shown.append(text);
    shown.hidden = false;
    shown.normalize();
    const all = shown.firstChild;
    if (all.length > MOST_CHARACTERS) all.deleteData(0, all.length - MOST_CHARACTERS / 2);
    if (wasAtEnd) shown.scrollTop = shown.scrollHeight;
  }

  const isAtEnd = (shown) => !!shown && shown.scrollHeight - shown.scrollTop - shown.clientHeight < 40;

  const after = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

  document.addEventListener("visibilitychange", () => document.hidden || refresh());
  setInterval(refresh, AGES_MS);
  say("connecting", "");
  connect();
})();
