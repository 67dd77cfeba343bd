/* Draws the timelines of a page in the colours of its theme, again after each part that htmx brings, and tells a reader what a
   button did by moving the focus there. */
(function () {
  'use strict';

  function isNarrow(place) {
    return place.clientWidth < 600;
  }

  function draw(place) {
    const source = document.getElementById(place.dataset.figure);
    if (!source || !window.Plotly) return;
    const figure = JSON.parse(source.textContent);
    const colour = getComputedStyle(place).color;
    const grid = 'rgba(128,128,128,0.35)';
    const layout = figure.layout;
    const narrow = isNarrow(place);
    place.dataset.narrow = narrow;
    layout.font = {color: colour, size: narrow ? 11 : 13};
    for (const name of ['xaxis', 'yaxis', 'yaxis2']) {
      if (layout[name]) Object.assign(layout[name], {color: colour, gridcolor: grid, linecolor: grid, tickfont: {color: colour}});
    }
    for (const shape of layout.shapes || []) shape.line.color = colour;
    layout.modebar.color = colour;
    layout.modebar.activecolor = colour;
    if (narrow) { // the legend takes more lines, and there are no buttons above
      layout.height += 70;
      layout.margin.b += 90;
      layout.margin.t -= 20;
    }
    window.Plotly.newPlot(place, figure.data, layout, {responsive: true, displaylogo: false, displayModeBar: narrow ? false : 'hover'});
  }

  function drawAll() {
    document.querySelectorAll('.cadence-timeline').forEach(function (place) {
      if (!place.classList.contains('js-plotly-plot')) draw(place);
    });
  }

  document.addEventListener('DOMContentLoaded', drawAll);
  // A telephone that is turned: the layout of the other width does not fit.
  window.addEventListener('resize', function () {
    document.querySelectorAll('.cadence-timeline.js-plotly-plot').forEach(function (place) {
      if (String(isNarrow(place)) !== place.dataset.narrow) draw(place);
    });
  });
  document.addEventListener('htmx:afterSettle', function () {
    const late = document.querySelector('script[data-plotly]'); // it comes with a part of the page, perhaps after its figure
    if (late && !window.Plotly) late.addEventListener('load', drawAll);
    drawAll();
    const wrong = document.querySelector('#cadence .is-invalid');
    const said = document.getElementById('cadence-said');
    if (wrong) wrong.focus();
    else if (said && said.textContent.trim() && document.activeElement === document.body) said.focus();
  });
})();
