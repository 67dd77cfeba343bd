/* Keeps what a page says about queries up to date: asks for those that are open, more and more rarely while nothing happens, not at
   all while nobody looks, and puts what changed in the place of what was there. Focus, scrolling and a selection stay as they are. */
(function () {
  'use strict';
  if (window.photWatch) { window.photWatch(); return; }

  const FIRST = 2000, LONGEST = 60000, SLOWER = 1.6, FEW = 3;
  const UNITS = [['d', 86400], ['h', 3600], ['min', 60]];
  const roots = new Map();

  function open(root) {
    return [...root.querySelectorAll('[data-open]')];
  }

  function number(element) {
    return element.id.split('-')[1];
  }

  function address(root) {
    const asked = root.dataset.query ? [root.dataset.query] : [...new Set(open(root).map(number))];
    const query = new URLSearchParams({view: root.dataset.view});
    asked.forEach((pk) => query.append('query', pk));
    return `${root.dataset.watch}?${query}`;
  }

  function plan(root, state) {
    clearTimeout(state.timer);
    if (!root.isConnected) { roots.delete(root); return; }
    if (!document.hidden && open(root).length) state.timer = setTimeout(() => ask(root, state), state.pause);
  }

  async function ask(root, state) {
    clearTimeout(state.timer);
    if (state.busy || !root.isConnected || document.hidden || !open(root).length) return;
    state.busy = true;
    const where = address(root);
    try {
      const headers = {'HX-Request': 'true'};
      if (state.where === where && state.tag) headers['If-None-Match'] = state.tag;
      const reply = await fetch(where, {headers, credentials: 'same-origin', cache: 'no-store'});
      if (reply.status === 200 && !reply.redirected) {
        const whole = put(root, await reply.text(), where);
        state.where = where;
        state.tag = whole.complete ? reply.headers.get('ETag') : '';
        state.pause = whole.changed ? FIRST : Math.min(state.pause * SLOWER, LONGEST);
      } else if (reply.status === 304) {
        state.pause = Math.min(state.pause * SLOWER, LONGEST);
      } else {
        throw new Error(String(reply.status));
      }
      if (state.failed >= FEW) say(root);
      state.failed = 0;
    } catch (error) {
      state.failed += 1;
      state.pause = Math.min(state.pause * SLOWER, LONGEST);
      if (state.failed === FEW) tell(root, 'The TOM does not answer at this moment. This page goes on asking.');
    }
    state.busy = false;
    plan(root, state);
  }

  /* Put in what changed; whether anything did, and whether everything could be put in. */
  function put(root, text, where) {
    const fresh = new DOMParser().parseFromString(text, 'text/html');
    let changed = false, complete = true;
    fresh.querySelectorAll('[id][data-mark]').forEach((each) => {
      const old = document.getElementById(each.id);
      if (!old || old.dataset.mark === each.dataset.mark) return;
      if (selected(old)) { complete = false; return; }
      replace(old, document.importNode(each, true));
      changed = true;
    });
    if (!root.dataset.query) {
      new URL(where, location.href).searchParams.getAll('query').forEach((pk) => {
        const gone = !fresh.getElementById(`query-${pk}`) && document.getElementById(`query-${pk}`);
        if (gone) { gone.removeAttribute('data-open'); changed = true; }
      });
    }
    if (changed) { times(); say(root); }
    return {changed, complete};
  }

  function selected(element) {
    const selection = window.getSelection();
    return !!selection && !selection.isCollapsed && selection.containsNode(element, true);
  }

  function replace(old, fresh) {
    const active = old.contains(document.activeElement) ? document.activeElement.id : null;
    fresh.classList.add('phot-changed');
    old.replaceWith(fresh);
    if (window.htmx) window.htmx.process(fresh);
    if (active !== null) focus(document.getElementById(active) || fresh.querySelector('a[href], button'));
  }

  function focus(element) {
    if (element) element.focus({preventScroll: true});
  }

  /* What a screen reader hears: how far all of them are, not every row. */
  function say(root) {
    const page = root.dataset.query && root.querySelector('[data-words]');
    if (page) { tell(root, `${root.dataset.name}: ${page.textContent.trim()}`); return; }
    const all = [...root.querySelectorAll('[id^="query-"][data-mark]')];
    const waiting = open(root).length;
    const failed = all.filter((each) => each.dataset.bad).length;
    const where = root.dataset.view === 'list' ? 'on this page' : 'in this list';
    tell(root, `${all.length - waiting} of ${all.length} done${failed ? `, ${failed} failed` : ''} ${where}.`);
  }

  function tell(root, words) {
    const place = root.querySelector('[data-said]');
    if (place && place.textContent !== words) place.textContent = words;
  }

  function span(seconds) {
    for (const [unit, length] of UNITS) {
      if (Math.abs(seconds) >= 1.95 * length || (unit === 'min' && Math.abs(seconds) >= length)) return `${Math.round(seconds / length)} ${unit}`;
    }
    return `${Math.round(seconds)} s`;
  }

  /* "in 3 h" goes on counting, by the clock of the server. */
  function times() {
    roots.forEach((state, root) => {
      root.querySelectorAll('time[datetime] + small').forEach((small) => {
        if (selected(small)) return;
        const left = (Date.parse(small.previousElementSibling.dateTime) - Date.now() - state.ahead) / 1000;
        const words = left > 0 ? `(in ${span(left)})` : `(${span(Math.abs(left))} ago)`;
        if (small.textContent !== words) small.textContent = words;
      });
    });
  }

  function find() {
    document.querySelectorAll('[data-watch]').forEach((root) => {
      if (roots.has(root)) return;
      const state = {pause: FIRST, failed: 0, tag: '', where: '', busy: false, ahead: Date.parse(root.dataset.now) - Date.now()};
      roots.set(root, state);
      plan(root, state);
    });
  }

  function atOnce() {
    roots.forEach((state, root) => {
      state.pause = FIRST;
      if (document.hidden) clearTimeout(state.timer);
      else ask(root, state);
    });
    if (!document.hidden) times();
  }

  let pressed = '';
  document.addEventListener('visibilitychange', atOnce);
  window.addEventListener('pageshow', (event) => { if (event.persisted) atOnce(); });
  document.addEventListener('queries-changed', atOnce);
  document.addEventListener('htmx:beforeRequest', (event) => {
    const row = event.target.closest && event.target.closest('[id^="query-"][data-mark]');
    pressed = row ? `${row.id}-link` : '';
  });
  document.addEventListener('htmx:afterSettle', () => {
    find();
    if (pressed && document.activeElement === document.body) focus(document.getElementById(pressed));
  });
  setInterval(() => { if (!document.hidden) times(); }, 10000);
  window.photWatch = find;
  if (document.readyState === 'loading') document.addEventListener('DOMContentLoaded', find);
  else find();
})();
