/* The whole sky as an SVG drawing (Mollweide, east to the left), without any other server. */
(function () {
  'use strict';
  const SVG = 'http://www.w3.org/2000/svg';
  const radians = Math.PI / 180;
  const position = (text) => text.split(' ').map(Number);
  const { moon, sun } = document.currentScript.dataset;

  function project(ra, dec) {
    let theta = dec * radians;
    if (Math.abs(dec) < 89.99) {
      for (let i = 0; i < 20; i += 1) {
        theta -= (2 * theta + Math.sin(2 * theta) - Math.PI * Math.sin(dec * radians)) / (2 + 2 * Math.cos(2 * theta));
      }
    }
    const lon = ((ra + 180) % 360 + 360) % 360 - 180;
    return [-200 * (lon / 180) * Math.cos(theta), -100 * Math.sin(theta)];
  }

  function draw(parent, name, attributes, title) {
    const node = document.createElementNS(SVG, name);
    Object.entries(attributes).forEach(([key, value]) => node.setAttribute(key, value));
    if (title) draw(node, 'title', {}).textContent = title;
    return parent.appendChild(node);
  }

  const sky = draw(document.getElementById('aladin-lite-div'), 'svg', {
    viewBox: '-205 -105 410 210', style: 'display:block;max-width:900px;margin:auto', 'font-size': 5,
  });
  draw(sky, 'ellipse', { rx: 200, ry: 100, fill: '#10182b' });

  function line(points) {
    draw(sky, 'polyline', { points: points.map((p) => project(...p).join(',')).join(' '), fill: 'none', stroke: '#43506b', 'stroke-width': 0.4 });
  }
  const span = (from, to, step) => Array.from({ length: (to - from) / step + 1 }, (_, i) => from + i * step);
  span(-60, 60, 30).forEach((dec) => line(span(-179.99, 180, 4.999).concat(179.99).map((ra) => [ra, dec])));
  span(-150, 150, 30).forEach((ra) => line(span(-90, 90, 5).map((dec) => [ra, dec])));
  span(0, 22, 2).filter((hour) => hour !== 12).forEach((hour) => {
    const [x, y] = project(hour * 15, 0);
    draw(sky, 'text', { x: x + 1, y: y - 1, fill: '#8391ad' }).textContent = `${hour} h`;
  });

  function body(name, text, fill, radius) {
    const [cx, cy] = project(...position(text));
    draw(sky, 'circle', { cx, cy, r: radius, fill }, name);
    draw(sky, 'text', { x: cx + radius + 1, y: cy + 2, fill }).textContent = name;
  }
  body('Sun', sun, '#ffd54a', 4);
  body('Moon', moon, '#d0d4dc', 3);

  const markers = draw(sky, 'g', {});
  window.updateAladinTargets = function (targets) {
    markers.replaceChildren();
    const labels = [];
    targets.forEach((target) => {
      const [x, y] = project(target.ra, target.dec);
      let label = y + 1.5;
      while (labels.some((other) => Math.abs(other.x - x) < 30 && Math.abs(other.y - label) < 5)) label += 5;
      labels.push({ x, y: label });
      const size = 2;
      const d = `M${x - size} ${y}H${x + size}M${x} ${y - size}V${y + size}`;
      draw(markers, 'path', { d, stroke: '#5fd0ff', 'stroke-width': 0.9 },
        `${target.name}: RA ${target.ra.toFixed(4)}, Dec ${target.dec.toFixed(4)}`);
      draw(markers, 'text', { x: x + 3, y: label, fill: '#5fd0ff' }).textContent = target.name;
    });
  };
  window.updateAladinTargets(JSON.parse(document.getElementById('skymap-targets').textContent));
}());
