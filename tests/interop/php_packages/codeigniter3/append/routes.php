<?php
$route['default_controller'] = 'beranda';
$route['login'] = 'beranda/login';
