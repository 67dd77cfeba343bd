/* From columns to a figure of plotly: traces, two time axes, colours of the theme. */
(function () {
  'use strict';
  const curve = window.photCurve = window.photCurve || {};
  const SEEN = 1;
  const LIMIT = 2;
  const BAD = 3;
  const UNSOLVED = 4;
  const DAY = 86400000;
  /* So many points are drawn with error bars; of more, bars would hide each other, and take seconds to draw. */
  const MANY = 20000;
  const HOURS = [1 / 1440, 5 / 1440, 15 / 1440, 1 / 24, 3 / 24, 6 / 24, 12 / 24];
  const STEPS = [...HOURS.map((days) => ['days', days]), ...[1, 2, 5, 10].map((days) => ['days', days]),
    ...[1, 2, 3, 6].map((months) => ['months', months]), ...[12, 24, 60, 120, 240].map((months) => ['months', months])];

  /* A colour as plotly understands it, whatever the style sheet says. */
  function painted(place, css) {
    const probe = document.createElement('span');
    probe.style.color = css;
    place.append(probe);
    const canvas = document.createElement('canvas');
    canvas.width = canvas.height = 1;
    const pen = canvas.getContext('2d', {willReadFrequently: true});
    pen.fillStyle = getComputedStyle(probe).color;
    pen.fillRect(0, 0, 1, 1);
    probe.remove();
    const [red, green, blue] = pen.getImageData(0, 0, 1, 1).data;
    return `rgb(${red},${green},${blue})`;
  }
  curve.colourOf = (place, name) => painted(place, `color-mix(in srgb, var(--lc-${name}) var(--lc), var(--theme_text_primary))`);

  /* Folded points are drawn twice, from phase 0 to 2, as usual in the field. */
  const isFolded = (data) => Boolean(data.axis && data.axis.period);
  function phase(mjd, axis) {
    const turns = (mjd - axis.zero) / axis.period;
    return turns - Math.floor(turns);
  }
  curve.isFolded = isFolded;

  const fluxOf = (magnitude) => 10 ** (0.4 * (23.9 - magnitude));

  /* The first of the rows from..to, in order of time, that is not before an instant. */
  function since(points, from, to, mjd) {
    let [low, high] = [from, to];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (points.mjd[middle] < mjd) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /* Of each series the rows that are drawn: all, or of very many points those in view and as much on either side of it. */
  function blocks(data, points, state) {
    const many = points.mjd.length > MANY && state.x && !isFolded(data);
    const [first, last] = many ? [2 * state.x[0] - state.x[1], 2 * state.x[1] - state.x[0]] : [];
    const found = [];
    let from = 0;
    data.series.forEach((series, number) => {
      const to = from + points.counts[number];
      const shown = !state.hide.has(series.key);
      const part = many ? [since(points, from, to, first), since(points, from, to, last)] : [from, to];
      if (shown && part[1] > part[0]) found.push({series, from: part[0], to: part[1]});
      from = to;
    });
    return found;
  }

  /* Which points of a series are drawn, and where: values with errors, limits, and means of days flagged as bad. */
  function split(data, points, from, to, flux) {
    const folded = isFolded(data);
    const size = (folded ? 2 : 1) * (to - from);
    const make = () => ({x: new Float64Array(size), y: new Float64Array(size), error: new Float64Array(size), row: new Int32Array(size), length: 0});
    const put = (list, row, value, error) => {
      if (folded) {
        at(list, row, phase(points.mjd[row], data.axis), value, error);
        at(list, row, phase(points.mjd[row], data.axis) + 1, value, error);
      } else at(list, row, points.mjd[row], value, error);
    };
    const at = (list, row, x, value, error) => {
      list.x[list.length] = x;
      list.y[list.length] = value;
      list.error[list.length] = error > 0 ? error : 0;
      list.row[list.length] = row;
      list.length += 1;
    };
    const [values, limits, bad] = [make(), make(), make()];
    for (let row = from; row < to; row += 1) {
      const kind = points.kind[row];
      if (kind === UNSOLVED) continue;
      if (kind === BAD) put(bad, row, flux ? points.flux[row] : points.magnitude[row], flux ? points.flux_error[row] : points.magnitude_error[row]);
      else if (flux && points.flux[row] === points.flux[row]) put(values, row, points.flux[row], points.flux_error[row]);
      else if (!flux && kind === SEEN) put(values, row, points.magnitude[row], points.magnitude_error[row]);
      else if (kind === LIMIT) put(limits, row, flux ? fluxOf(points.magnitude[row] + data.modulus) : points.magnitude[row], 0);
    }
    for (const list of [values, limits, bad]) for (const name of ['x', 'y', 'error', 'row']) list[name] = list[name].subarray(0, list.length);
    return {values, limits, bad};
  }

  function symbolOf(series) {
    return series.open ? `${series.symbol}-open` : series.symbol;
  }

  function traces(place, data, points, look, state) {
    const found = [];
    const parts = blocks(data, points, state);
    const number = parts.reduce((sum, part) => sum + part.to - part.from, 0);
    const bars = !state.noerrors && !look.plain && number <= MANY;
    for (const {series, from, to} of parts) {
      const {values, limits, bad} = split(data, points, from, to, state.flux);
      const colour = look.colour || curve.colourOf(place, series.colour);
      const basis = {type: 'scattergl', mode: 'markers', hoverinfo: 'none', showlegend: false};
      if (values.x.length) {
        const trace = {...basis, x: values.x, y: values.y, opacity: look.opacity,
          marker: {color: colour, size: look.size, symbol: symbolOf(series), line: {width: series.open ? 1.2 : 0}}};
        if (bars) trace.error_y = {type: 'data', array: values.error, color: colour, thickness: look.thickness, width: 0};
        found.push({trace, points, series, row: values.row});
      }
      if (bad.x.length) {
        found.push({trace: {...basis, x: bad.x, y: bad.y, opacity: look.opacity * 0.45, marker: {color: colour, size: look.size, symbol: 'x-thin-open', line: {width: 1.5}}},
          points, series, row: bad.row});
      }
      if (limits.x.length && !state.nolimits) {
        found.push({trace: {...basis, x: limits.x, y: limits.y, opacity: look.opacity * 0.6,
          marker: {color: colour, size: look.size + 2, symbol: 'arrow-bar-down-open', line: {width: 1}},
        }, points, series, row: limits.row});
      }
    }
    found.without = !state.noerrors && !look.plain && number > MANY;
    return found;
  }

  /* From the first to the last instant of what is shown, with some air. */
  function extent(data, state) {
    const points = data.points;
    let [first, last, from] = [Infinity, -Infinity, 0];
    data.series.forEach((series, number) => {
      const to = from + points.counts[number];
      if (to > from && !state.hide.has(series.key)) {
        first = Math.min(first, points.mjd[from]);
        last = Math.max(last, points.mjd[to - 1]);
      }
      from = to;
    });
    const air = Math.max((last - first) * 0.04, 0.5);
    return last >= first ? [first - air, last + air] : [59000, 61000];
  }

  /* The MJD of the newest point that is shown; null where there is none. */
  curve.last = function (data, state) {
    let [last, from] = [null, 0];
    data.series.forEach((series, number) => {
      const to = from + data.points.counts[number];
      if (to > from && !state.hide.has(series.key)) last = Math.max(last === null ? -Infinity : last, data.points.mjd[to - 1]);
      from = to;
    });
    return last;
  };

  /* The MJD of the oldest point that is shown. */
  curve.first = function (data, state) {
    let [first, from] = [Infinity, 0];
    data.series.forEach((series, number) => {
      const to = from + data.points.counts[number];
      if (to > from && !state.hide.has(series.key)) first = Math.min(first, data.points.mjd[from]);
      from = to;
    });
    return first;
  };

  /* MJD of the years 200 to 9800: nothing has a date beyond, whatever an address or a zoom says, and JavaScript soon has no more. */
  const [EARLIEST, LATEST] = [-605000, 2900000];

  /* Dates at round instants for the upper axis. */
  function dates(range, most) {
    const [first, last] = [Math.max(Math.min(...range), EARLIEST), Math.min(Math.max(...range), LATEST)];
    if (!(first < last)) return {tickvals: [], ticktext: []};
    const step = STEPS.find(([kind, length]) => (last - first) / (kind === 'days' ? length : length * 30.4) <= most) || STEPS[STEPS.length - 1];
    const at = [];
    if (step[0] === 'days') {
      for (let mjd = Math.ceil(first / step[1]) * step[1]; mjd <= last; mjd += step[1]) at.push(mjd);
    } else {
      const begin = new Date((first - 40587) * DAY);
      let month = Math.ceil((begin.getUTCFullYear() * 12 + begin.getUTCMonth()) / step[1]) * step[1];
      for (; ; month += step[1]) {
        const mjd = Date.UTC(Math.floor(month / 12), month % 12, 1) / DAY + 40587;
        if (mjd > last) break;
        if (mjd >= first) at.push(mjd);
      }
    }
    const digits = step[0] === 'months' ? (step[1] >= 12 ? 4 : 7) : step[1] >= 1 ? 10 : 16;
    return {tickvals: at, ticktext: at.map((mjd) => (digits === 16 ? curve.utc(mjd, 16).slice(5) : curve.utc(mjd, digits)))};
  }
  const ticks = (place, range) => dates(range, Math.max(2, Math.floor(place.clientWidth / 110)));
  curve.dates = (plot) => ticks(plot, plot._fullLayout.xaxis.range);

  /* The lower axis: MJD, days since a date, or a phase. */
  function named(data) {
    if (!data.axis) return 'MJD (UTC)';
    if (data.axis.period) return `Phase (period ${Number(data.axis.period.toPrecision(8))} d from MJD ${data.axis.zero})`;
    return `Days since MJD ${data.axis.zero}`;
  }

  /* Round numbers of days since a date, at their MJD: so that zoom and dates stay what they are. */
  function days([first, last], zero, place) {
    const rough = (last - first) / Math.max(2, Math.floor(place.clientWidth / 90));
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= rough) || 10 * power;
    const found = {tickvals: [], ticktext: []};
    for (let number = Math.ceil((first - zero) / step); number * step <= last - zero; number += 1) {
      found.tickvals.push(zero + number * step);
      found.ticktext.push(String(Number((number * step).toPrecision(10))));
    }
    return found;
  }
  curve.days = (plot, data) => days(plot._fullLayout.xaxis.range, data.axis.zero, plot);
  curve.isLarge = (data) => data.points.mjd.length > MANY;

  function axes(place, data, state) {
    const folded = isFolded(data);
    const range = folded ? [-0.02, 2.02] : state.x ? state.x.slice() : extent(data, state);
    const text = painted(place, 'var(--theme_text_primary)');
    const line = painted(place, 'color-mix(in srgb, var(--theme_text_primary) 35%, var(--theme_primary))');
    const grid = painted(place, 'color-mix(in srgb, var(--theme_text_primary) 12%, var(--theme_primary))');
    const axis = {color: text, gridcolor: grid, linecolor: line, tickcolor: line, ticks: 'outside', showline: true, zeroline: false, exponentformat: 'none'};
    const reversed = !state.flux;
    return {
      text,
      xaxis: {...axis, title: {text: named(data)}, mirror: false, range, autorange: false, ...(folded || !data.axis ? {} : {tickmode: 'array', ...days(range, data.axis.zero, place)})},
      xaxis2: {...axis, overlaying: 'x', matches: 'x', side: 'top', showgrid: false, visible: !folded, tickmode: 'array', range: range.slice(), autorange: false, ...ticks(place, folded ? extent(data, state) : range)},
      yaxis: {...axis, automargin: true, title: {text: state.flux ? 'Flux (µJy)' : data.modulus ? 'Absolute magnitude (AB)' : 'Magnitude (AB)'}, zeroline: state.flux, zerolinecolor: line,
        ...(state.y && !folded ? {range: state.y.slice(), autorange: false} : {autorange: reversed ? 'reversed' : true})},
    };
  }

  curve.figure = function (place, data, state) {
    const means = data.means ? traces(place, data, data.means, {size: 8, opacity: 1, thickness: 1.5}, state) : null;
    const points = means
      ? [...traces(place, data, data.points, {colour: painted(place, 'color-mix(in srgb, var(--theme_text_primary) 45%, var(--theme_primary))'), size: 4, opacity: 0.35, thickness: 1, plain: true}, state),
        ...means]
      : traces(place, data, data.points, {size: 6, opacity: 0.85, thickness: 1}, state);
    const {text, ...scales} = axes(place, data, state);
    const narrow = place.clientWidth < 600;
    const shaded = painted(place, 'var(--theme_link_text)');
    return {
      entries: points,
      without: (means || points).without,
      data: [...points.map((each) => each.trace), {type: 'scatter', x: [null], y: [null], xaxis: 'x2', hoverinfo: 'skip', showlegend: false}],
      layout: {
        ...scales,
        font: {color: text, size: narrow ? 11 : 13},
        margin: {l: narrow ? 52 : 68, r: 16, t: narrow ? 34 : 62, b: 48},
        paper_bgcolor: 'rgba(0,0,0,0)',
        plot_bgcolor: 'rgba(0,0,0,0)',
        separators: '.',
        hovermode: 'closest',
        dragmode: state.dragmode || 'zoom',
        modebar: {color: text, activecolor: text, bgcolor: 'rgba(0,0,0,0)'},
        shapes: (isFolded(data) ? [] : data.windows || []).map((each) => ({type: 'rect', layer: 'below', xref: 'x', yref: 'paper', x0: each.start, x1: each.end, y0: 0, y1: 1, line: {width: 0.5, color: shaded}, fillcolor: shaded, opacity: 0.18})),
      },
      config: {responsive: true, displaylogo: false, displayModeBar: narrow ? false : 'hover', doubleClick: 'autosize', modeBarButtonsToRemove: ['select2d', 'lasso2d', 'toImage', 'resetScale2d']},
    };
  };

  const SHAPES = {
    circle: '<circle cx="8" cy="8" r="5"/>', square: '<rect x="3.5" y="3.5" width="9" height="9"/>', diamond: '<path d="M8 2 14 8 8 14 2 8Z"/>',
    'triangle-up': '<path d="M8 3 14 13H2Z"/>', 'triangle-left': '<path d="M3 8 13 2V14Z"/>', 'triangle-right': '<path d="M13 8 3 2V14Z"/>',
    pentagon: '<path d="M8 2 14 6.5 11.7 13.5H4.3L2 6.5Z"/>', hexagram: '<path d="M8 1 14 11.5H2ZM8 15 2 4.5H14Z"/>',
    star: '<path d="M8 1.5 9.8 6H14.5L10.7 9 12 13.8 8 11 4 13.8 5.3 9 1.5 6H6.2Z"/>', cross: '<path d="M6 2h4v4h4v4h-4v4H6v-4H2V6h4Z"/>',
    x: '<path d="M4 2 8 6 12 2 14 4 10 8 14 12 12 14 8 10 4 14 2 12 6 8 2 4Z"/>',
  };
  curve.mark = function (place, mark) {
    const colour = curve.colourOf(place, mark.dataset.colour);
    const paint = mark.dataset.open ? `fill="none" stroke="${colour}" stroke-width="1.6"` : `fill="${colour}"`;
    mark.innerHTML = `<svg viewBox="0 0 16 16" ${paint}>${SHAPES[mark.dataset.symbol] || SHAPES.circle}</svg>`;
  };
}());
