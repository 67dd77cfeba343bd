/* The light curve of a page: fetches columns once for each choice of switches, draws them, and keeps switches and zoom in the address. */
(function () {
  'use strict';
  const curve = window.photCurve = window.photCurve || {};
  if (curve.start) { curve.start(); return; }
  const DRAWN_HERE = ['flux', 'nolimits', 'noerrors'];
  /* Days up to the newest point with which a light curve opens. */
  const RECENT = 365;
  const PICTURE = {format: 'png', width: 1200, height: 700, scale: 2};

  function script(address) {
    if (window.Plotly) return Promise.resolve();
    curve.plotly = curve.plotly || new Promise((done, failed) => {
      const made = document.createElement('script');
      made.src = address;
      made.onload = done;
      made.onerror = () => failed(new Error('the plotting script did not come'));
      document.head.append(made);
    });
    return curve.plotly;
  }

  /* Colours are in a style sheet, which on a target's page comes after the page. */
  function look(section) {
    const sheet = section.querySelector('link[data-look]');
    return sheet.sheet ? Promise.resolve() : new Promise((done) => { sheet.onload = sheet.onerror = done; });
  }

  const pair = (text) => {
    const found = (text || '').split(',').map(Number);
    return found.length === 2 && found.every(Number.isFinite) && found[0] !== found[1] ? found : null;
  };
  /* An interval that ends with a comma has no end: it reaches to the newest point, whichever that will be. */
  const openEnded = (text) => (/^[^,]+,$/.test(text || '') && Number.isFinite(parseFloat(text)) ? parseFloat(text) : null);
  const digits = (value, error) => (error > 0 ? Math.min(Math.max(1 - Math.floor(Math.log10(error)), 0), 6) : 2);

  class LightCurve {
    constructor(section) {
      this.section = section;
      this.form = section.querySelector('form');
      this.fields = [...new Set([...this.form.elements].map((field) => field.name).filter(Boolean))];
      this.plot = section.querySelector('.phot-curve-plot');
      this.hover = section.querySelector('.phot-curve-hover');
      this.said = section.querySelector('.phot-curve-wait');
      const given = new URLSearchParams('address' in section.dataset ? location.search : '');
      this.state = {hide: new Set(given.getAll('hide')), x: pair(given.get('x')), y: pair(given.get('y'))};
      if (this.state.x) this.state.x.sort((one, other) => one - other);
      this.since = openEnded(given.get('x'));
      /* How many of the newest days are shown; 0: all, or those that were zoomed to. */
      const days = Number(given.get('recent'));
      const usual = days > 0 && Number.isFinite(days) ? days : RECENT;
      this.recent = this.state.x || this.since !== null || given.get('recent') === 'all' ? 0 : usual;
      if (!this.closed) this.state.y = null;
      this.listen();
      this.tidy();
      this.load();
    }

    /* Whether no point that comes later belongs to the dates that are shown: only then may an address say which magnitudes are. */
    get closed() { return !this.recent && this.since === null && this.state.x !== null; }

    listen() {
      document.body.addEventListener('phot-points-changed', () => {
        delete this.section.querySelector('[data-fill]').dataset.filled;
        this.load();
      });
      this.form.addEventListener('submit', (event) => { event.preventDefault(); this.load(); });
      this.form.addEventListener('change', (event) => {
        if (['flux', 'redshift', 'mpc', 'ebv'].includes(event.target.name)) this.state.y = null;
        this.tidy();
        if (DRAWN_HERE.includes(event.target.name)) this.draw();
        else this.load();
      });
      this.section.addEventListener('change', (event) => {
        const key = event.target.dataset.series;
        if (key !== undefined) this.show(event.target, key);
        if ('part' in event.target.dataset) this.link();
      });
      this.section.querySelectorAll('[data-recent]').forEach((button) => {
        button.addEventListener('click', () => { this.showRecent(Number(button.dataset.recent)); this.draw(); });
      });
      this.section.querySelector('[data-zoom-out]').addEventListener('click', () => {
        this.showRecent(0);
        this.draw();
      });
      this.section.querySelector('[data-picture]').addEventListener('click', () => this.save());
      this.section.querySelector('.phot-curve-table').addEventListener('toggle', () => this.fill());
    }

    /* The last days up to the newest point that is shown, and all magnitudes of them; 0: all dates. */
    showRecent(days) {
      this.recent = days;
      this.since = null;
      this.state.x = this.state.y = null;
      this.follow();
    }

    /* What was asked for up to the newest point reaches to the one that is the newest now. */
    follow() {
      const last = this.data ? curve.last(this.data, this.state) : null;
      if (last === null || curve.isFolded(this.data)) return;
      const first = this.recent > 0 ? last - this.recent : this.since;
      if (first === null || first >= last) return;
      if (this.recent === RECENT && curve.first(this.data, this.state) >= first) { this.state.x = null; return; }
      this.state.x = [first, last + Math.max((last - first) * 0.04, 0.5)];
    }

    /* The picture as it is drawn, made by the browser. */
    picture() {
      const ground = getComputedStyle(document.body).backgroundColor;
      const layout = {...this.plot.layout, paper_bgcolor: ground, plot_bgcolor: ground, width: PICTURE.width, height: PICTURE.height};
      return window.Plotly.toImage({data: this.plot.data, layout}, PICTURE);
    }

    async save() {
      if (!this.entries) return;
      const link = document.createElement('a');
      link.href = await this.picture();
      link.download = this.section.querySelector('[data-picture]').dataset.picture;
      link.click();
    }

    /* How long a mean is matters only where there are means. */
    tidy() {
      this.form.elements.days.closest('.phot-switch').hidden = this.form.elements.stack.value === '';
    }

    /* What the switches say: all of it for an address, or only what changes which points there are. */
    parameters(all) {
      const found = new URLSearchParams();
      for (const [name, value] of new FormData(this.form)) {
        if (value !== '' && (all || !DRAWN_HERE.includes(name))) found.append(name, value);
      }
      return found;
    }

    async load() {
      if (this.asking) this.asking.abort();
      const asking = this.asking = new AbortController();
      this.say(this.data ? 'Loading…' : 'Loading the points…');
      this.complain({});
      try {
        const [response] = await Promise.all([
          fetch(`${this.section.dataset.points}?${this.parameters(false)}`, {signal: asking.signal, credentials: 'same-origin'}),
          script(this.section.dataset.plotly),
          look(this.section),
        ]);
        if (response.status !== 422 && !response.ok) throw new Error(`the server answered ${response.status}`);
        const given = await response.json();
        if (given.errors) { this.complain(given.errors); this.say(''); return; }
        this.data = curve.decode(given);
        this.section.querySelector('.phot-curve-summary').innerHTML = given.summary;
        if (window.htmx) window.htmx.process(this.section.querySelector('.phot-curve-summary'));
        this.legend();
        this.follow();
        await this.draw();
        this.say('');
      } catch (error) {
        if (error.name !== 'AbortError') this.say(`The points could not be loaded: ${error.message}. Change a switch, or load the page again.`);
      }
    }

    say(text) {
      this.said.textContent = text;
      this.said.classList.toggle('phot-again', Boolean(this.data));
    }

    complain(errors) {
      for (const name of this.fields) {
        const field = this.form.elements[name];
        if (!field) continue;
        const words = errors[name] ? errors[name].join(' ') : '';
        field.classList.toggle('is-invalid', Boolean(words));
        if (words && field.closest('details')) field.closest('details').open = true;
        if (words) { field.setAttribute('aria-invalid', 'true'); field.setAttribute('aria-describedby', `${field.id}_error`); field.focus(); }
        else field.removeAttribute('aria-invalid');
        const place = document.getElementById(`${field.id}_error`);
        if (place) { place.textContent = words; place.style.display = words ? 'block' : ''; }
      }
    }

    legend() {
      this.section.querySelectorAll('.phot-mark').forEach((mark) => curve.mark(this.section, mark));
      this.section.querySelectorAll('[data-series]').forEach((box) => {
        box.checked = !this.state.hide.has(box.dataset.series);
        box.closest('tr').classList.toggle('phot-hidden', !box.checked);
      });
    }

    show(box, key) {
      if (box.checked) this.state.hide.delete(key);
      else this.state.hide.add(key);
      box.closest('tr').classList.toggle('phot-hidden', !box.checked);
      this.draw();
    }

    async draw() {
      if (!this.data) return;
      for (const name of DRAWN_HERE) this.state[name] = this.form.elements[name].checked;
      const figure = curve.figure(this.plot, this.data, this.state);
      this.entries = figure.entries;
      // not react(): with other numbers of points, its error bars fail ("offset is out of bounds", plotly.js 2.35)
      await window.Plotly.newPlot(this.plot, figure.data, figure.layout, figure.config);
      this.hover.hidden = true;
      this.section.querySelector('.phot-curve-bars').hidden = !figure.without;
      this.watch();
      this.link();
    }

    watch() {
      this.plot.on('plotly_relayout', (change) => {
        if (Object.keys(change).every((key) => /^xaxis2?\.tick/.test(key))) return;
        if (curve.isFolded(this.data)) return;
        const {xaxis, yaxis} = this.plot._fullLayout;
        this.state.x = xaxis.autorange ? null : xaxis.range.map(Number);
        this.state.y = yaxis.autorange ? null : yaxis.range.map(Number);
        if (Object.keys(change).some((key) => /^xaxis\.(range|autorange)/.test(key))) {
          this.recent = 0;
          this.since = this.state.x && this.state.x[1] >= curve.last(this.data, this.state) ? this.state.x[0] : null;
        }
        if (change.dragmode) { this.state.dragmode = change.dragmode; return; }
        if (curve.isLarge(this.data)) { setTimeout(() => this.draw()); return; }
        this.dates();
        this.link();
      });
      this.plot.on('plotly_hover', (event) => this.tell(event));
      this.plot.on('plotly_unhover', () => { this.hover.hidden = true; });
      this.plot.on('plotly_click', (event) => this.pin(event.points[0]));
    }

    async dates() {
      const ticks = curve.dates(this.plot);
      const change = {'xaxis2.tickvals': ticks.tickvals, 'xaxis2.ticktext': ticks.ticktext};
      if (this.data.axis) {
        const days = curve.days(this.plot, this.data);
        Object.assign(change, {'xaxis.tickvals': days.tickvals, 'xaxis.ticktext': days.ticktext});
      }
      await window.Plotly.relayout(this.plot, change);
    }

    /* Point under the pointer: its numbers in a box beside it. */
    tell(event) {
      const entry = this.entries[event.points[0].curveNumber];
      if (!entry) return;
      this.hover.textContent = this.words(entry, entry.row[event.points[0].pointNumber]);
      this.hover.hidden = false;
      const box = this.plot.getBoundingClientRect();
      const left = event.event.clientX - box.left;
      const onTheRight = left > box.width / 2;
      this.hover.style.left = onTheRight ? '' : `${left + 14}px`;
      this.hover.style.right = onTheRight ? `${box.width - left + 14}px` : '';
      this.hover.style.top = `${Math.max(0, event.event.clientY - box.top - 40)}px`;
    }

    words({points, series}, row) {
      const axis = this.data.axis;
      const days = axis ? points.mjd[row] - axis.zero : 0;
      const turn = axis && axis.period ? days / axis.period : 0;
      const since = !axis ? [] : axis.period ? [`phase ${(turn - Math.floor(turn)).toFixed(4)}`] : [`${days.toFixed(4)} d since MJD ${axis.zero}`];
      const lines = [series.words, ...since, `MJD ${points.mjd[row].toFixed(6)}`, `${curve.utc(points.mjd[row], 19)} UTC`];
      const magnitude = points.magnitude[row];
      const error = points.magnitude_error[row];
      if (points.kind[row] === 2) lines.push(`> ${magnitude.toFixed(2)} mag (limit)`);
      if (points.kind[row] === 3) lines.push('flagged as a bad day: the exposures do not agree, or are too few');
      if (points.kind[row] === 1 || points.kind[row] === 3) lines.push(`${magnitude.toFixed(3)}${error > 0 ? ` ± ${error.toFixed(3)}` : ''} mag`);
      const flux = points.flux[row];
      const spread = points.flux_error[row];
      if (flux === flux) {
        const places = digits(flux, spread);
        const made = points.measured && !points.measured[row] ? ' (of the magnitude)' : '';
        lines.push(`${flux.toFixed(places)}${spread > 0 ? ` ± ${spread.toFixed(places)}` : ''} µJy${made}`);
        if (spread > 0) lines.push(`S/N ${(flux / spread).toFixed(1)}`);
      }
      if (points.number && points.id[row] === 0) lines.push(`mean of ${points.number[row]} exposure${points.number[row] === 1 ? '' : 's'}`);
      if (points.id[row]) lines.push('Click for all fields');
      return lines.join('\n');
    }

    pin(point) {
      const entry = this.entries[point.curveNumber];
      const id = entry && entry.points.id[entry.row[point.pointNumber]];
      if (id) window.htmx.ajax('GET', `${this.section.dataset.table}${id}/`, {target: this.section.querySelector('.phot-curve-pinned'), swap: 'innerHTML'});
    }

    /* Address, downloads and table say the same as the plot. */
    link() {
      if (!this.data) return;
      const all = this.parameters(true);
      for (const key of this.state.hide) all.append('hide', key);
      const zoom = (axis) => this.state[axis].map((value) => Number(value.toPrecision(12))).join(',');
      if (this.recent) { if (this.recent !== RECENT) all.set('recent', this.recent); }
      else if (this.since !== null) all.set('x', `${Number(this.since.toPrecision(12))},`);
      else if (this.state.x) all.set('x', zoom('x'));
      else if (!curve.isFolded(this.data)) all.set('recent', 'all');
      if (this.state.y && this.closed && !curve.isFolded(this.data)) all.set('y', zoom('y'));
      const query = all.toString();
      if ('address' in this.section.dataset) history.replaceState(history.state, '', query ? `?${query}` : location.pathname);
      const own = this.section.querySelector('[data-own-page]');
      if (own) own.href = `${this.section.dataset.page}?${query}`;
      const files = new URLSearchParams(all);
      files.delete('recent');
      files.delete('x');
      if (this.section.querySelector('[data-part]').checked && this.state.x) { files.set('x', zoom('x')); files.set('part', 'zoom'); }
      this.section.querySelectorAll('[data-download]').forEach((link) => { link.search = `?${files}`; });
      this.section.querySelectorAll('[data-recent]').forEach((button) => {
        button.setAttribute('aria-pressed', String(Number(button.dataset.recent) === this.recent));
      });
      all.delete('x');
      all.delete('y');
      all.delete('recent');
      this.tableQuery = all.toString();
      this.fill();
    }

    fill() {
      const place = this.section.querySelector('[data-fill]');
      if (!this.section.querySelector('.phot-curve-table').open || this.tableQuery === undefined || place.dataset.filled === this.tableQuery) return;
      place.dataset.filled = this.tableQuery;
      window.htmx.ajax('GET', `${this.section.dataset.table}?${this.tableQuery}`, {target: place, swap: 'innerHTML'});
    }
  }

  curve.start = function () {
    document.querySelectorAll('section.phot-curve').forEach((section) => {
      if (!section.photCurve) section.photCurve = new LightCurve(section);
    });
  };
  document.addEventListener('DOMContentLoaded', curve.start);
  document.addEventListener('htmx:afterSettle', curve.start);
  if (document.readyState !== 'loading') curve.start();
}());
