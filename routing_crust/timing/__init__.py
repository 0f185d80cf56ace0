"""
Time: clocks, timers, deadlines, rates and waits. All of it takes its clock as an argument.

Which limit to take, for what happens again and again:

 - L{TokenBucket<routing_crust.timing.ratelimit.TokenBucket>} or
   L{SlidingWindow<routing_crust.timing.ratelimit.SlidingWindow>}: one party does it, or it does not matter
   who of all does. One for each of many: L{KeyedLimits<routing_crust.timing.ratelimit.KeyedLimits>}.
 - L{AccountRates<routing_crust.timing.account_rates.AccountRates>}: it costs this node a little each time.
   Each link has a rate of its own, which no other link can use up; all together may do more, the more there
   are.
 - L{SharedWindow<routing_crust.timing.shares.SharedWindow>}: it is dear, or burdens others, so that all
   together must stay below one number. Nobody has a rate; who has taken much must leave what is left to the
   others.

For what is held, and not done: L{Held<routing_crust.timing.shares.Held>} and
L{Holdings<routing_crust.timing.shares.Holdings>}.
"""
