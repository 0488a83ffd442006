<?php

$routes->get('/', 'Home::index');
$routes->get('login', 'Home::login');
$routes->get('loket', 'Home::page', ['filter' => 'sso']);
$routes->get('operator', 'Home::page', ['filter' => 'sso:operator']);
