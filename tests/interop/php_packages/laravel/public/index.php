<?php
error_reporting(E_ALL & ~E_DEPRECATED & ~E_USER_DEPRECATED); // of Debian's Laravel 8 on PHP 8.2
require '/usr/share/php/Illuminate/autoload.php';
require getenv('SSO_PACKAGE') . '/src/autoload.php';
$app = require __DIR__ . '/../bootstrap/app.php';
$kernel = $app->make(Illuminate\Contracts\Http\Kernel::class);
$response = $kernel->handle($request = Illuminate\Http\Request::capture())->send();
$kernel->terminate($request, $response);
