"""The look of the queue page, behind that which all pages share."""

STYLE = """
.hero{display:grid;gap:clamp(1.5rem,4vw,3rem);align-items:stretch}
.how{display:flex;flex-direction:column;justify-content:center;gap:.9rem}
.at{margin-left:.5rem;color:var(--soft);font-size:.95rem}
.reasons{margin:0;padding:0;list-style:none;color:var(--bad);overflow-wrap:anywhere}
.screen{border-radius:20px;color:var(--screen-ink);padding:clamp(1.3rem,4vw,2rem);
background:radial-gradient(120% 140% at 85% 0,var(--screen-2),var(--screen) 65%);
box-shadow:0 1px 0 #ffffff14 inset,0 18px 40px -22px #04161b}
.screen h2{font-size:1rem;font-weight:500;letter-spacing:0;color:var(--screen-soft)}
.screen p{color:var(--screen-soft)}
.screen .number{margin-block:.8rem .5rem;color:inherit;
font:600 clamp(3rem,2.2rem + 3.6vw,5rem)/1 var(--mono);
font-variant-numeric:tabular-nums;letter-spacing:-.06em;overflow-wrap:anywhere}
.counts{display:flex;flex-wrap:wrap;gap:.2rem .9rem;margin:0;font-size:.95rem;
font-variant-numeric:tabular-nums}
.counts div{display:flex;gap:.4rem;align-items:baseline}
.counts dt{color:var(--soft)}
.counts dd{margin:0;font:600 .95rem/1.6 var(--mono)}
.screen .counts{margin-top:1.2rem;padding-top:1rem;border-top:1px solid #ffffff24}
.screen .counts dt{color:var(--screen-soft)}
.rows{margin:1.2rem 0 0;padding:0;list-style:none}
.rows li{display:grid;gap:.35rem 1.5rem;padding:1rem 1.4rem}
.rows li+li{border-top:1px solid var(--line)}
.rows .none{color:var(--soft)}
.what{display:flex;gap:.8rem;align-items:baseline;min-width:0}
.what .status{flex:none}
.what h3{min-width:0;overflow-wrap:anywhere;font-family:var(--mono);font-weight:600;line-height:1.4}
.said{min-width:0}
.said p{max-width:none;color:var(--soft);overflow-wrap:anywhere}
.said .words{color:var(--ink)}
.said .hint::before{content:"\\2192  "}
.away main::before{content:"No answer from the daemon: this is what was last known.";
display:block;margin-bottom:1.5rem;padding:.7rem 1.1rem;border:1px solid var(--bad);
border-radius:10px;color:var(--bad)}
.away .how>p:first-child{visibility:hidden}
@media (min-width:52rem){.hero{grid-template-columns:1fr 1.15fr}
.rows li{grid-template-columns:minmax(14rem,24rem) 1fr}
.counts{gap:.2rem 1.6rem}
.what{display:grid;grid-template-columns:6.4rem 1fr;justify-items:start}}
"""
